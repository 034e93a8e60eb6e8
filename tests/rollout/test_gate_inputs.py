"""Gates on what lies in files and processes: metering lines, differences, golden samples, memory, deaths."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from tests.rollout.simulated import START

from maas_core.errors import NotHeld, NotReachable
from maas_gateway.routing import Routing, Split, Upstream, write_routing
from maas_rollout.cli_types import DIFFERENCES
from maas_rollout.gates import GateSettings, gates_for
from maas_rollout.gates.answers import GoldenGate, MirroredGate
from maas_rollout.gates.memory import MemoryGate, judge_samples, resident_bytes
from maas_rollout.gates.metering import MeteringReader, as_request
from maas_rollout.gates.restarts import Deaths, RestartsGate
from maas_rollout.gates.traffic import Traffic
from maas_rollout.ports import Address, GateContext, Objective

SETTINGS = GateSettings()
MB = 1_000_000
ADDRESS = Address("127.0.0.1:1", "127.0.0.1:2", triton_pid=os.getpid())


def line(**changes: Any) -> dict[str, Any]:
    """A metering line as Envoy writes it: what it does not know is null."""
    return {
        "at": "2026-11-22T09:00:00.500Z",
        "tenant": "acme",
        "model": "digits",
        "version": "1",
        "asked_version": None,
        "side": "candidate",
        "aimed_at": "candidate",
        "attempts": 1,
        "protocol": "http",
        "status": 200,
        "grpc_status": None,
        "duration_us": 2500,
        "upstream_us": 2000,
        "items": "1",
        "kind": "infer",
        "flags": "-",
        **changes,
    }


def write(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in entries)


class TestMeteringLines:
    def test_a_line_becomes_a_request(self) -> None:
        request = as_request(line())
        assert request is not None
        assert request.at_s == pytest.approx(START.timestamp() + 0.5025)
        assert (request.side, request.latency_ms, request.failed, request.refused) == ("candidate", 2.0, False, False)

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": 500},
            {"status": 503},
            {"status": 0},
            {"attempts": 2},
            {"side": "stable", "aimed_at": "candidate"},
            {"protocol": "grpc", "grpc_status": 14},
            {"protocol": "grpc", "grpc_status": 13},
        ],
    )
    def test_what_the_server_failed_is_failed(self, changes: dict[str, Any]) -> None:
        request = as_request(line(**changes))
        assert request is not None
        assert (request.side, request.failed) == ("candidate", True)

    @pytest.mark.parametrize("changes", [{"status": 400}, {"protocol": "grpc", "grpc_status": 3}])
    def test_what_the_server_found_wrong_is_refused(self, changes: dict[str, Any]) -> None:
        request = as_request(line(**changes))
        assert request is not None
        assert (request.failed, request.refused) == (False, True)

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": 429},
            {"status": 401},
            {"side": None, "aimed_at": None},
            {"kind": "probe"},
            {"status": 400, "refused": "shape"},
            {"status": 0, "flags": "DC"},
            {"protocol": "grpc", "grpc_status": 16},
            {"status": 400, "asked_version": "1"},
        ],
    )
    def test_what_no_server_is_to_blame_for_does_not_count(self, changes: dict[str, Any]) -> None:
        assert as_request(line(**changes)) is None

    def test_each_line_is_read_once_also_over_a_rotation(self, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        reader = MeteringReader(tmp_path, "digits", START.timestamp())
        write(path, [line(), line(model="other"), line(at="2026-11-22T08:00:00.000Z")])
        assert len(reader.new()) == 1
        write(path, [line()])
        path.rename(tmp_path / "requests-1.jsonl")
        write(path, [line(), line()])
        assert len(reader.new()) == 3
        assert reader.new() == []

    def test_of_a_long_file_the_end_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        began = START - timedelta(seconds=20_000)
        write(path, [line(at=(began + timedelta(seconds=second)).isoformat()) for second in range(20_060)])
        reader = MeteringReader(tmp_path, "digits", START.timestamp())
        assert len(reader.new()) == 60
        write(path, [line(at=(START + timedelta(seconds=61)).isoformat())])
        assert len(reader.new()) == 1

    def test_a_line_that_is_being_written_is_read_when_it_is_whole(self, tmp_path: Path) -> None:
        text = json.dumps(line()) + "\n"
        path = tmp_path / "requests.jsonl"
        path.write_text(text[:30])
        reader = MeteringReader(tmp_path, "digits", START.timestamp())
        assert reader.new() == []
        with path.open("a") as file:
            file.write(text[30:] + "not json\n")
        assert len(reader.new()) == 1

    def test_blocks_of_a_file_are_those_since_the_weight_was_applied(self, tmp_path: Path) -> None:
        for second in range(6):
            at = (START + timedelta(seconds=second)).isoformat()
            lines = [line(at=at, side=side, aimed_at=side) for side in ("stable", "candidate") * 9]
            write(tmp_path / "usage" / "requests.jsonl", lines)
        traffic = Traffic(tmp_path, "digits", lambda: START.timestamp() + 100)
        since = START + timedelta(seconds=3)
        assert sum(block.candidate.requests for block in traffic.since(since)) == 27
        assert traffic.since(since) == traffic.since(since)


class TestMirroredAnswers:
    @pytest.mark.parametrize(
        ("equal", "different", "is_mirrored", "verdict"),
        [
            (100, 0, True, "go"),
            (20, 20, True, "back"),
            (10, 0, True, "hold"),
            (0, 0, True, "hold"),
            (0, 0, False, "go"),
        ],
    )
    def test_verdict(self, tmp_path: Path, equal: int, different: int, is_mirrored: bool, verdict: str) -> None:
        entry = {"at": START.isoformat(), "model": "digits", "equal": True, "worst": 0.0}
        others = [{**entry, "model": "other", "equal": False}, {**entry, "at": "2026-11-22T08:59:59Z", "equal": False}]
        write(tmp_path / "mirror" / "differences.jsonl", [entry] * equal + 50 * others)
        write(tmp_path / "mirror" / "differences.jsonl", [{**entry, "equal": False, "worst": 0.7}] * different)
        judgement = MirroredGate(tmp_path, SETTINGS, lambda: is_mirrored).judge("digits", START)
        assert (judgement.verdict, judgement.evidence["compared"]) == (verdict, equal + different)

    def test_a_version_that_may_answer_otherwise_is_shown_and_let_on(self, tmp_path: Path) -> None:
        entry = {"at": START.isoformat(), "model": "digits", "equal": False, "worst": 0.25}
        write(
            tmp_path / "mirror" / "differences.jsonl", [{**entry, "stable_status": 200, "candidate_status": 200}] * 100
        )
        judgement = MirroredGate(tmp_path, GateSettings(max_different=None), lambda: True).judge("digits", START)
        assert (judgement.verdict, judgement.evidence["worst"]) == ("go", 0.25)
        assert "100 of 100 mirrored requests were answered otherwise, as any may be" in judgement.reasons[0]

    def test_also_where_any_answer_may_differ_there_must_be_one(self, tmp_path: Path) -> None:
        entry = {"at": START.isoformat(), "model": "digits", "equal": False, "worst": None}
        write(
            tmp_path / "mirror" / "differences.jsonl", [{**entry, "stable_status": 200, "candidate_status": 500}] * 20
        )
        judgement = MirroredGate(tmp_path, GateSettings(max_different=None), lambda: True).judge("digits", START)
        assert judgement.verdict == "back"

    @pytest.mark.parametrize(("written", "share"), [("any", None), ("5%", 0.05), ("0.5%", 0.005)])
    def test_how_many_may_differ_is_an_option(self, tmp_path: Path, written: str, share: float | None) -> None:
        assert DIFFERENCES.convert(written, None, None) == share

    @pytest.mark.parametrize("written", ["5", "0%", "100%", "many", "-1%", "nan%"])
    def test_what_is_no_share_is_refused(self, written: str) -> None:
        with pytest.raises(click.BadParameter, match="is not a share"):
            DIFFERENCES.convert(written, None, None)


class TestGoldenSamples:
    @pytest.mark.parametrize(
        ("error", "verdict"), [(NotHeld("logits differ"), "back"), (NotReachable("nobody answers"), "hold")]
    )
    def test_verdict(self, error: Exception, verdict: str) -> None:
        def check() -> dict[str, Any]:
            raise error

        judgement = GoldenGate(check, begin=lambda work: work()).judge("digits", START)
        assert judgement.verdict == verdict
        assert str(error.args[0] if error.args else error) in judgement.reasons[0]

    def test_they_are_asked_again_and_again(self) -> None:
        asked: list[float] = []
        now_s = 0.0
        gate = GoldenGate(lambda: {"asked": asked.append(now_s)}, lambda: now_s, lambda work: work())
        for second in range(11):
            now_s = float(second)
            assert gate.judge("digits", START).verdict == "go"
        assert asked == [0.0, 5.0, 10.0]

    def test_a_server_that_does_not_answer_holds_nobody_up(self) -> None:
        answered = threading.Event()
        now_s = 0.0
        gate = GoldenGate(lambda: {"answered": answered.wait(60)}, lambda: now_s)
        assert gate.judge("digits", START).verdict == "hold"
        now_s = 30.0
        assert gate.judge("digits", START).verdict == "hold"
        answered.set()
        deadline = time.monotonic() + 60
        while gate.judge("digits", START).verdict != "go":
            assert time.monotonic() < deadline
            time.sleep(0.01)


class TestMemory:
    @pytest.mark.parametrize(
        ("samples_mb", "verdict"),
        [
            ([300 + 10 * i for i in range(30)], "back"),
            ([300 + 3 * i for i in range(30)], "hold"),
            ([300 + i for i in range(30)], "go"),
            ([300 + min(15 * i, 200) for i in range(60)], "go"),
            ([300] * 20 + [520] * 10, "go"),
            ([300 + 12 * (i % 4) for i in range(30)], "go"),
            ([300, 800], "hold"),
        ],
        ids=["leaks", "may leak", "grows a little", "warms up", "one step", "breathes", "too few"],
    )
    def test_verdict(self, samples_mb: list[int], verdict: str) -> None:
        assert judge_samples([size * MB for size in samples_mb], SETTINGS, None).verdict == verdict

    def test_a_large_server_may_grow_by_a_part_of_its_size(self) -> None:
        samples = [(4000 + 10 * i) * MB for i in range(30)]
        assert judge_samples(samples, SETTINGS, 4000 * MB).verdict == "go"
        assert judge_samples(samples, SETTINGS, 300 * MB).verdict == "back"

    def test_samples_outlive_the_gate_of_one_step(self) -> None:
        """15 s at each of two weights, 5 MB a second: neither shows 100 MB alone."""
        histories: dict[int, Any] = {}
        clock = iter(range(1000))
        sizes = iter(range(300 * MB, 900 * MB, 5 * MB))
        for _ in range(2):
            gate = MemoryGate(
                lambda: None, lambda: ADDRESS, SETTINGS, lambda _: next(sizes), lambda: next(clock), histories
            )
            said = [gate.judge("digits", START).verdict for _ in range(15)]
        assert said[-1] == "back"

    def test_a_real_process_has_a_size(self) -> None:
        size = resident_bytes(os.getpid())
        assert size is not None
        assert size > MB
        assert resident_bytes(2**22 + 1) is None

    def test_a_candidate_that_is_gone_is_not_proven(self) -> None:
        assert MemoryGate(lambda: None, lambda: None, SETTINGS).judge("digits", START).verdict == "hold"


class TestRestarts:
    @staticmethod
    def judge(stable: list[Deaths], candidate: Deaths | None) -> str:
        ours, theirs = Address("c:1", "c:2"), Address("s:1", "s:2")
        of_stable = iter(stable)
        gate = RestartsGate(lambda: theirs, lambda: ours, lambda a: candidate if a is ours else next(of_stable))
        return [gate.judge("digits", START).verdict for _ in stable][-1]

    def test_no_death(self) -> None:
        assert self.judge([Deaths(7, 3)], Deaths()) == "go"

    @pytest.mark.parametrize("deaths", [Deaths(1, 0), Deaths(0, 1), None])
    def test_one_death_is_enough(self, deaths: Deaths | None) -> None:
        assert self.judge([Deaths()], deaths) == "back"

    def test_where_the_stable_dies_too_the_machine_may_be_at_fault(self) -> None:
        assert self.judge([Deaths(), Deaths(1, 0)], Deaths(1, 0)) == "hold"


@pytest.fixture
def context(tmp_path: Path) -> Callable[[Split], GateContext]:
    def make(split: Split) -> GateContext:
        upstream = Upstream(http="127.0.0.1:1", grpc="127.0.0.1:2")
        write_routing(tmp_path, Routing(stable=upstream, candidate=upstream, splits={"digits": split}))
        return GateContext(
            model="digits",
            unit={"digits": 2},
            gateway_state=tmp_path,
            repository=tmp_path / "model_repository",
            stable=lambda: None,
            candidate=lambda: ADDRESS,
            objective=Objective(100.0, 0.001),
            interval_s=30.0,
        )

    return make


class TestGatesOfARollout:
    def test_while_only_mirroring_traffic_is_not_waited_for_but_comparisons_are(
        self, context: Callable[[Split], GateContext]
    ) -> None:
        said = {
            gate.name: gate.judge("digits", datetime.now(UTC)).verdict
            for gate in gates_for(context(Split(mirror_percent=10)))
        }
        assert said["error rate"] == said["latency"] == said["throughput"] == "go"
        assert said["mirrored answers"] == "hold"

    @pytest.mark.parametrize("split", [Split(), Split(candidate_percent=5)])
    def test_otherwise_nothing_goes_on_without_traffic(
        self, context: Callable[[Split], GateContext], split: Split
    ) -> None:
        said = {gate.name: gate.judge("digits", datetime.now(UTC)).verdict for gate in gates_for(context(split))}
        assert said["error rate"] == said["latency"] == said["throughput"] == "hold"
