"""What people see of a rollout: the page in a real browser, its data, the terminal, the metrics."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import threading
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from tests.rollout.shown import MODEL, write_rollout
from tests.rollout.simulated import Behaviour

from maas_core.releases import journal_path
from maas_rollout.views.snapshot import Watcher
from maas_rollout.views.terminal import screen, spark
from maas_rollout.views.web import WatchServer
from maas_rollout.watch_cli import watch

GOOD, SLOW = Behaviour(), Behaviour(p50_ms=15)
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    return tmp_path


@pytest.fixture
def serving(build: Path) -> Iterator[Callable[[], str]]:
    servers = []

    def start() -> str:
        server = WatchServer(Watcher().snapshot, 0)
        servers.append(server)
        threading.Thread(target=server.serve, daemon=True).start()
        return server.url

    yield start
    for server in servers:
        server.close()


def get(url: str, **headers: str) -> str:
    address, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(address, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", f"/{path}", headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    if answer.status != http.client.OK:
        raise urllib.error.HTTPError(url, answer.status, text, answer.headers, None)
    return text


def gates(rollout: dict[str, Any]) -> dict[str, str]:
    return {gate["name"]: gate["verdict"] for gate in rollout["gates"]}


class TestWhatIsShown:
    def test_versions_weight_steps_and_journal(self, build: Path) -> None:
        write_rollout(build, GOOD)
        (rollout,) = Watcher().snapshot()["rollouts"]
        assert (rollout["before"], rollout["to"], rollout["percent"]) == ({MODEL: 6}, {MODEL: 7}, 25)
        phases = {step["name"]: step["phase"] for step in rollout["steps"]}
        assert (phases["weight-5"], phases["weight-25"], phases["promote"]) == ("done", "now", "to come")
        assert rollout["journal"][-1]["data"] == {"step": "weight-25"}
        assert not rollout["process"]

    @pytest.mark.parametrize(("candidate", "verdict"), [(GOOD, "go"), (SLOW, "back")])
    def test_gates_judge_what_happens_now(self, build: Path, candidate: Behaviour, verdict: str) -> None:
        write_rollout(build, candidate)
        (rollout,) = Watcher().snapshot()["rollouts"]
        assert gates(rollout)["latency"] == verdict
        assert gates(rollout)["error rate"] == "go"

    def test_both_latency_curves(self, build: Path) -> None:
        write_rollout(build, SLOW)
        curves = Watcher().snapshot()["rollouts"][0]["curves"]
        medians = {
            side: sorted(v for v in curves[side]["p50_ms"] if v is not None)[20] for side in ("stable", "candidate")
        }
        assert medians["candidate"] == pytest.approx(3 * medians["stable"], rel=0.3)
        assert sum(curves["stable"]["requests"]) > 2 * sum(curves["candidate"]["requests"])

    def test_gates_of_a_rollout_that_ended_are_those_of_its_journal(self, build: Path) -> None:
        journal = write_rollout(build, GOOD)
        evidence = {"latency": {"verdict": "back", "reasons": ["too slow"], "candidate_p99_ms": 90.0}}
        judged = {"step": "weight-25", "verdict": "back", "reasons": ["too slow"], "evidence": evidence}
        journal.append("r7", "judged", judged)
        journal.append("r7", "turn", {"to": "back", "why": "too slow"})
        journal.append("r7", "end", {"outcome": "rolled back", "why": "too slow"})
        (rollout,) = Watcher(MODEL).snapshot()["rollouts"]
        assert gates(rollout) == {"latency": "back"}
        assert (rollout["outcome"], rollout["turned_because"]) == ("rolled back", "too slow")

    def test_a_damaged_journal_is_told_and_the_others_are_shown(self, build: Path) -> None:
        write_rollout(build, GOOD)
        path = journal_path("broken")
        path.write_bytes(journal_path(MODEL).read_bytes().replace(b"weight-5", b"weight-9"))
        broken, good = Watcher().snapshot()["rollouts"]
        assert "line" in broken["error"]
        assert good["percent"] == 25

    def test_nothing_released_yet(self, build: Path) -> None:
        assert Watcher().snapshot()["rollouts"] == []
        assert "nothing was released yet" in CliRunner().invoke(watch, ["--once"]).output


class TestThePage:
    def test_data_is_the_snapshot(self, build: Path, serving: Callable[[], str]) -> None:
        write_rollout(build, GOOD)
        assert json.loads(get(serving() + "state.json"))["rollouts"][0]["percent"] == 25

    def test_it_loads_nothing_from_elsewhere(self, serving: Callable[[], str]) -> None:
        page = get(serving())
        assert not re.findall(r"""(?:src|href)=["']|url\(|@import|https?://(?!www\.w3\.org/2000/svg)""", page)

    @pytest.mark.parametrize(("path", "host", "status"), [("nothing", "127.0.0.1:1", 404), ("", "evil.example:1", 403)])
    def test_other_paths_and_names_are_refused(
        self, serving: Callable[[], str], path: str, host: str, status: int
    ) -> None:
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(serving() + path, Host=host)
        assert refused.value.code == status

    def test_metrics(self, build: Path, serving: Callable[[], str]) -> None:
        journal = write_rollout(build, SLOW)
        families = {family.name: family for family in text_string_to_metric_families(get(serving() + "metrics"))}
        assert families["maas_rollout_weight_percent"].samples[0].value == 25
        said = {sample.labels["gate"]: sample.value for sample in families["maas_rollout_gate"].samples}
        assert (said["latency"], said["error rate"]) == (0, 2)
        journal.append("r7", "end", {"outcome": "promoted", "why": ""})
        families = {family.name: family for family in text_string_to_metric_families(get(serving() + "metrics"))}
        ended = {sample.labels["outcome"]: sample.value for sample in families["maas_rollout_ended"].samples}
        assert ended == {"promoted": 1, "rolled back": 0}

    @pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")
    def test_in_a_browser(self, build: Path, serving: Callable[[], str]) -> None:
        journal = write_rollout(build, SLOW)
        journal.append("r7", "note", {"why": "<img src=x onerror=alert(1)>"})
        assert CHROMIUM is not None
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000", "--dump-dom"]
        done = subprocess.run([*command, serving()], capture_output=True, text=True, timeout=100, check=True)
        assert "stable: digits 6" in done.stdout
        assert 'class="chip back"' in done.stdout
        assert done.stdout.count("<svg") == 4
        assert "&lt;img src=x" in done.stdout


class TestTheTerminal:
    def test_it_shows_the_same(self, build: Path) -> None:
        write_rollout(build, SLOW)
        console = Console(width=160, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115  # the console's own
        console.print(screen(Watcher().snapshot()))
        text = console.export_text()
        for words in (
            "stable digits 6",
            "25 % candidate digits 7",
            "latency",
            "back",
            "p99 candidate",
            "begin weight-25",
        ):
            assert words in text

    def test_bars_stand_for_values(self) -> None:
        assert spark([0.0, None, 5.0, 10.0], 10.0) == "▁ ▅█"

    def test_one_json_document(self, build: Path) -> None:
        write_rollout(build, GOOD)
        done = CliRunner().invoke(watch, [MODEL, "--json"])
        assert json.loads(done.output)["rollouts"][0]["model"] == MODEL
