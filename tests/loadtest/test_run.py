"""``maas load run`` against a server of known delays: figures, verdict, exit code, and what goes wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from maas_core.ports import LOOPBACK, PortHold
from maas_loadtest.histogram import decode
from maas_loadtest.report_files import write_report
from maas_loadtest.report_model import Status
from maas_loadtest.run import Crew, run_scenario, scenarios_dir
from maas_loadtest.run_cli import run as run_command
from maas_loadtest.validity import NotValid
from tests.conftest import ROOT
from tests.loadtest.commands import run
from tests.loadtest.made_reports import Made
from tests.loadtest.running import SHORT, Ran, load, loading, locusts_of
from tests.loadtest.stub_server import MODEL, Stub, stub_server
from tests.waiting import has_ended, wait_until

DELAY_MS = 10
KEY = "not-for-everybody"
LONGER = ("--duration", "8", "--warmup", "0.3", "--min-duration", "3", "--min-requests", "20")
"""Enough for a freeze that comes late on a busy machine."""
FILES = {"wrong": "wrong.npz", "broken": "broken.jsonl", "damaged": "damaged"}
UNSTABLE = ("delayed by", "distances", "throughput", "generator CPU", "achieved")
"""Beginnings of conditions that other processes on the machine may spoil."""


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with stub_server(delay_ms=DELAY_MS) as server:
        yield server


@pytest.fixture(scope="module")
def both(stub: Stub, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    """Two runs at a time, each with a server of its own, so that both count their own requests."""
    over_grpc = ("--url", stub.grpc, "--model", MODEL, "--rate", "40", "--api-key", KEY)
    by_two = ("--model", MODEL, "--rate", "40", "--processes", "2", "--slo", "p50=9s")
    with stub_server(delay_ms=DELAY_MS) as other, ThreadPoolExecutor(2) as pool:
        first = pool.submit(load, tmp_path_factory.mktemp("grpc"), "server", *over_grpc, *SHORT)
        second = pool.submit(load, tmp_path_factory.mktemp("http"), "server", "--url", other.http, *by_two, *SHORT)
        return first.result(), second.result()


@pytest.fixture(scope="module")
def over_grpc(both: tuple[Ran, Ran]) -> Ran:
    return both[0]


@pytest.fixture(scope="module")
def by_two_workers(both: tuple[Ran, Ran]) -> Ran:
    return both[1]


def own_reasons(ran: Ran) -> list[str]:
    """Without those of which the machine may be the cause."""
    return [reason for reason in ran.report.verdict.reasons if not reason.startswith(UNSTABLE)]


class TestFigures:
    def test_all_that_was_scheduled_was_answered(self, over_grpc: Ran, by_two_workers: Ran) -> None:
        for ran in (over_grpc, by_two_workers):
            report = ran.report
            assert own_reasons(ran) == []
            assert report.totals.answered == report.totals.scheduled == report.schedule.requests > 60
            assert report.response.count == sum(window.answered for window in report.windows) == report.totals.answered

    def test_times_are_those_of_the_server(self, over_grpc: Ran, by_two_workers: Ran) -> None:
        for ran in (over_grpc, by_two_workers):
            assert ran.report.service.min_us >= DELAY_MS * 1000
            assert ran.report.response.min_us >= ran.report.service.min_us

    def test_a_response_takes_no_less_than_its_service(self, over_grpc: Ran) -> None:
        response, service = over_grpc.report.response, over_grpc.report.service
        pairs = zip(response.percentiles, service.percentiles, strict=True)
        assert all(one.latency_us >= other.latency_us for one, other in pairs)

    def test_client_and_server_count_the_same(self, over_grpc: Ran, by_two_workers: Ran) -> None:
        for ran in (over_grpc, by_two_workers):
            (agreement,) = ran.report.agreement
            assert agreement.agree
            assert agreement.client == agreement.server == ran.report.totals.answered

    def test_the_servers_figures_stand_beside_the_clients(self, over_grpc: Ran) -> None:
        (server,) = over_grpc.report.server
        assert server.compute_infer_us == pytest.approx(DELAY_MS * 1000, rel=0.1)
        assert over_grpc.report.server_windows

    def test_both_workers_sent_half(self, by_two_workers: Ran) -> None:
        workers = by_two_workers.report.workers
        assert len({worker.pid for worker in workers}) == 2
        assert abs(workers[0].sent - workers[1].sent) <= 1

    def test_the_same_seed_gives_the_same_schedule_whoever_sends(self, over_grpc: Ran, by_two_workers: Ran) -> None:
        assert over_grpc.report.schedule.sha256 == by_two_workers.report.schedule.sha256

    def test_some_answers_were_compared(self, over_grpc: Ran) -> None:
        assert over_grpc.report.totals.checked >= 1
        assert over_grpc.report.totals.wrong == 0

    def test_a_machine_reads_what_matters_without_the_report(self, by_two_workers: Ran) -> None:
        document = by_two_workers.document
        assert document["status"] == by_two_workers.report.verdict.status
        assert document["exit_code"] == by_two_workers.code
        assert document["models"][MODEL]["versions"] == {"1": by_two_workers.report.totals.answered}
        assert Path(document["html"]).is_file()

    def test_the_key_is_in_no_file_of_the_report(self, over_grpc: Ran) -> None:
        files = [path for path in over_grpc.folder.rglob("*") if path.is_file()]
        assert len(files) >= 2
        assert not any(KEY.encode() in path.read_bytes() for path in files)
        assert "--api-key '***'" in over_grpc.report.command


class TestPlainLocust:
    def test_a_scenario_runs_without_us_and_locusts_own_figures_agree(self, stub: Stub, tmp_path: Path) -> None:
        folder = tmp_path / "report"
        command = [sys.executable, "-m", "locust", "-f", str(scenarios_dir() / "steady.py"), "--headless", "--json"]
        command += ["--url", stub.http, "--model", MODEL, "--rate", "40", "--report", str(folder), *SHORT]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
        ran = Ran(ended.returncode, ended.stdout, ended.stderr, folder)
        assert ran.code == int(ran.report.verdict.status.exit_code)
        assert own_reasons(ran) == []
        (entry,) = json.loads(ran.out)
        ours = decode(ran.report.response.histogram)
        assert entry["num_requests"] == ours.total_count
        theirs = {round(float(ms) * 1000): count for ms, count in entry["response_times"].items()}
        places = [ours.get_highest_equivalent_value(value) for value in theirs]
        assert sorted(theirs) == sorted(places)
        assert max(theirs) == ours.get_value_at_percentile(100)


class TestWhatTheServerDoes:
    def test_wrong_answers_are_errors(self, tmp_path: Path) -> None:
        with stub_server(wrong_every=2) as wrong:
            arguments = ("--url", wrong.http, "--model", MODEL, "--rate", "40", "--check-share", "1")
            ran = load(tmp_path, "server", *arguments, *SHORT)
        report = ran.report
        assert report.totals.wrong == report.totals.errors > 20
        assert report.totals.checked == report.totals.sent
        assert report.errors[0].kind == "wrong_answer"
        assert any(reason.startswith("errors") for reason in report.verdict.reasons)
        assert ran.code == (1 if report.verdict.status == Status.SLO_FAILED else 4)

    @pytest.mark.slow
    def test_errors_fail_the_objective_and_are_told_by_the_servers_words(self, tmp_path: Path) -> None:
        with stub_server(error_every=10) as failing:
            arguments = ("--url", failing.grpc, "--model", MODEL, "--rate", "40", "--slo", "errors=1%")
            ran = load(tmp_path, "server", *arguments, *SHORT)
        assert [reason.split(":")[0] for reason in own_reasons(ran)] == ["errors"]
        assert ran.report.errors[0].kind == "status"
        assert ran.report.errors[0].count == ran.report.totals.errors > 3

    def test_requests_wait_for_nobody_and_what_can_not_be_sent_is_dropped(self, tmp_path: Path) -> None:
        with stub_server(delay_ms=500) as slow:
            arguments = ("--url", slow.grpc, "--model", MODEL, "--rate", "40", "--in-flight", "4", "--warmup", "0")
            ran = load(tmp_path, "steady", *arguments, *SHORT[:2], *SHORT[4:])
        totals = ran.report.totals
        # Four at a time that take half a second each are at most eight a second.
        assert totals.sent <= 4 + 8 * 3
        assert totals.dropped == totals.scheduled - totals.sent > 80
        assert ran.code == 4
        assert "dropped: wanted 0" in ran.reasons

    def test_who_waits_for_a_frozen_server_is_counted_from_when_it_was_due(self, tmp_path: Path) -> None:
        with (
            stub_server() as frozen,
            loading(tmp_path, "steady", "--url", frozen.http, "--model", MODEL, "--rate", "50", *LONGER) as process,
        ):
            wait_until(lambda: requests_at(frozen) > 70, "70 requests")
            before = requests_at(frozen)
            frozen.freeze(1.0)
            # 50 were due meanwhile, and are answered before any that came later.
            wait_until(lambda: requests_at(frozen) > before + 100, "100 more requests")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        response = decode(Ran(0, "", "", tmp_path).report.response.histogram)
        places = [(one.value_iterated_to, one.count_at_value_iterated_to) for one in response.get_recorded_iterator()]
        # 25 requests were due in the first half of the second, and waited for the other half at least.
        assert sum(count for value_us, count in places if value_us >= 490_000) >= 24

    @pytest.mark.slow
    def test_a_rate_that_the_machine_can_not_offer_is_told_as_such(self, stub: Stub, tmp_path: Path) -> None:
        ran = load(tmp_path, "server", "--url", stub.grpc, "--model", MODEL, "--rate", "20000", *SHORT)
        assert ran.code == 4
        names = ("delayed", "generator CPU", "dropped", "distances")
        assert any(reason.startswith(names) for reason in ran.report.verdict.reasons)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            pytest.param(
                ("server", "--url", "grpc://127.0.0.1:1", "--model", MODEL),
                3,
                "no server reachable",
                marks=pytest.mark.slow,
            ),
            (("server", "--url", "http://127.0.0.1:1", "--model", MODEL), 3, "no server reachable"),
            (("server", "--url", "{grpc}", "--model", "nobody"), 2, "nobody"),
            (("server", "--url", "{http}", "--model", MODEL, "--inputs", "{wrong}"), 2, "wants FP32"),
            (("replay", "--url", "{http}", "--trace", "{broken}"), 2, "line 2"),
            (("server", "--url", "{http}", "--model", MODEL, "--repository", "{damaged}"), 2, "is not a manifest"),
            pytest.param(
                ("sequences", "--url", "{http}", "--model", MODEL), 2, "keeps no state", marks=pytest.mark.slow
            ),
        ],
    )
    def test_what_the_server_decides_is_one_line_and_its_code(
        self, stub: Stub, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
    ) -> None:
        np.savez(tmp_path / "wrong.npz", x=np.zeros((1, 99), np.float32))
        (tmp_path / "broken.jsonl").write_text('{"at_s": 0, "model": "stub"}\n{"at_s":\n')
        bundle = tmp_path / "damaged" / MODEL / "1"
        bundle.mkdir(parents=True)
        (bundle / "manifest.json").write_text("{}")
        files = {name: tmp_path / f for name, f in FILES.items()}
        ran = load(tmp_path, *(word.format(grpc=stub.grpc, http=stub.http, **files) for word in arguments))
        assert ran.code == code
        assert said in ran.error
        assert ran.error.count("\n") == 1
        assert not (tmp_path / "report.json").exists()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("nothing", "--model", MODEL), "choose one of"),
            (("server", "--model", MODEL, "--slo", "fast"), "is not an objective"),
            (("server", "--model", MODEL, "--rate", "fast"), "--rate wants a number"),
            (("server", "--model", MODEL, "--duration", "soon"), "is no time"),
            (("server", "--model", MODEL, "--remote-workers", "2", "--listen", "here"), "HOST:PORT"),
        ],
    )
    def test_what_the_command_line_decides_starts_nothing(self, arguments: tuple[str, ...], said: str) -> None:
        ended = run(run_command, *arguments)
        assert ended.code == 2
        assert said in ended.error

    def test_a_folder_that_can_not_be_written_is_told_before_the_run(self, stub: Stub, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        ran = load(tmp_path / "file" / "report", "server", "--url", stub.http, "--model", MODEL, "--duration", "1h")
        assert ran.code == 2
        assert "can not be written" in ran.error

    @pytest.mark.parametrize("module", ["report_files", "html_report.report_page"])
    def test_a_full_disk_is_no_valid_measurement(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(f"maas_loadtest.{module}.write_atomic", full)
        with pytest.raises(NotValid, match="No space left on device; make room"):
            write_report(Made().report(), str(tmp_path))


def test_the_port_of_locusts_master_is_kept_until_locust_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[dict[str, int]] = []

    class Hold(PortHold):
        def release(self) -> None:
            super().release()
            released.append(self.ports)

    def run_locust(arguments: list[str], *_: object) -> dict[str, str]:
        (port,) = (int(word.split("=")[1]) for word in arguments if word.startswith("--master-bind-port="))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((LOOPBACK, port))
        assert not released
        return {"event": "report", "path": "report.json"}

    monkeypatch.setattr("maas_loadtest.run.PortHold", Hold)
    monkeypatch.setattr("maas_loadtest.run._run", run_locust)
    assert run_scenario("server", {"model": MODEL}, crew=Crew(processes=2), tell=print) == Path("report.json")
    assert len(released) == 1


class TestAnEndBeforeItsTime:
    def test_ctrl_c_leaves_the_report_so_far_and_says_so(self, stub: Stub, tmp_path: Path) -> None:
        before = requests_at(stub)
        arguments = ("--url", stub.grpc, "--model", MODEL, "--rate", "40", "--warmup", "0")
        with loading(tmp_path, "server", *arguments) as process:
            wait_until(lambda: requests_at(stub) > before + 80, "80 more requests")
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        ran = Ran(process.returncode, "", error, tmp_path)
        assert ran.code == 4
        assert "end of the run: wanted as planned, got interrupted" in ran.reasons
        assert ran.report.interrupted
        assert ran.report.totals.answered > 60
        assert "Traceback" not in error

    def test_a_worker_that_dies_makes_it_invalid(self, stub: Stub, tmp_path: Path) -> None:
        before = requests_at(stub)
        arguments = ("--url", stub.http, "--model", MODEL, "--rate", "40", "--processes", "2", "--warmup", "0")
        with loading(tmp_path, "server", *arguments) as process:
            wait_until(lambda: requests_at(stub) > before + 40, "40 more requests")
            locusts = locusts_of(process)
            os.kill(locusts[-1], signal.SIGKILL)
            _, error = process.communicate(timeout=60)
        ran = Ran(process.returncode, "", error, tmp_path)
        assert ran.code == 4
        assert "got lost the worker" in ran.reasons
        assert ran.report.totals.answered > 20
        assert "Traceback" not in error
        wait_until(lambda: all(map(has_ended, locusts)), "the end of Locust")

    @pytest.mark.slow
    def test_who_wanted_the_load_is_killed_and_the_load_ends(self, stub: Stub, tmp_path: Path) -> None:
        before = requests_at(stub)
        arguments = ("--url", stub.http, "--model", MODEL, "--rate", "40", "--warmup", "0")
        with loading(tmp_path, "server", *arguments) as process:
            wait_until(lambda: requests_at(stub) > before + 20, "20 more requests")
            locusts = locusts_of(process)
            process.kill()
            process.communicate(timeout=60)
            wait_until(lambda: all(map(has_ended, locusts)), "the end of Locust")
        sent = requests_at(stub)
        assert sent > before + 20
        # At 40 a second, one that still sent would be seen.
        time.sleep(0.5)
        assert requests_at(stub) == sent


class TestReplay:
    def test_a_trace_is_sent_as_it_was_recorded_at_the_wanted_speed(self, stub: Stub, tmp_path: Path) -> None:
        trace = tmp_path / "trace.jsonl"
        lines = [{"at_s": 0.1 * number, "model": MODEL, "items": 1 + number % 2} for number in range(40)]
        trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
        arguments = ("--url", stub.http, "--trace", trace, "--speed", "2", "--min-duration", "1", "--min-requests", "1")
        report = load(tmp_path, "replay", *arguments, "--warmup", "0.2").report
        assert report.schedule.arrivals == "trace"
        assert report.schedule.duration_s == pytest.approx(39 * 0.1 / 2)
        assert report.totals.answered == 40
        assert report.totals.items == 60


def requests_at(stub: Stub) -> int:
    with urllib.request.urlopen(f"{stub.http}/v2/models/{MODEL}/stats") as answer:  # noqa: S310  # 127.0.0.1
        return int(json.load(answer)["model_stats"][0]["inference_stats"]["success"]["count"])
