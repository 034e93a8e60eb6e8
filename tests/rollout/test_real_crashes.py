"""Rollouts on real servers behind the real gateway, struck at twenty moments, while every answer is compared."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.rollout.bundles import make_bundle
from tests.server.serving import Serving, ask, start_serving

from maas_core.manifest import changed_files, read_manifest
from maas_core.releases import released_versions
from maas_core.repository import versions_of
from maas_gateway.routing import read_routing
from maas_rollout.publish import publish
from maas_rollout.service import states_of
from maas_server.state_file import read_states

_STEPS = ("candidate", "check", "weight-50", "weight-100", "promote", "return-traffic", "retire")
_KILLS = [f"kill:after:{kind}:{step}" for step in _STEPS for kind in ("begin", "done")]
_OTHERS = ["kill:before:done:publish", "kill:before:done:promote", "disk full:after:begin:publish"]
_OTHERS += ["disk full:after:begin:promote", "stable:after:begin:promote", "gateway:after:begin:weight-50"]
FAULTS = [*_KILLS, *_OTHERS]
_EVERY_S = 0.02
_KILLED = -9


@dataclass
class Traffic:
    """Requests through the gateway, one after the other.

    Attributes:
        allowed: the factors that may answer.
        problems: what failed or was answered by something else.
    """

    url: str
    allowed: set[float]
    problems: list[str] = field(default_factory=list)
    answers: int = 0
    forgiven: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            try:
                factor = ask(self.url, "double")[1]
            except (OSError, http.client.HTTPException, RuntimeError) as error:
                self._note(f"{type(error).__name__}: {error}")
                continue
            self.answers += 1
            if factor not in self.allowed:
                self._note(f"answered by the factor {factor}, wanted {self.allowed}")

    def end(self) -> None:
        self._ended.set()

    def _note(self, problem: str) -> None:
        if not self.forgiven:
            self.problems.append(problem)


@dataclass
class Place:
    root: Path
    repository: Path
    serving: Serving
    traffic: Traffic
    factor: int = 2

    def drive(self, action: str, bundle: Path, fault: str = "") -> int:
        done = subprocess.run(
            [sys.executable, "-m", "tests.rollout.driver", action, bundle, self.repository],
            env={**os.environ, "MAAS_TEST_FAULT": fault},
            cwd=ROOT,
            timeout=200,
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_BUILD", str(root / "build"))
        repository = root / "models"
        publish(make_bundle(root / "bundles", "double", 2), repository)
        serving = start_serving(repository, root / "build")
        stable = [serving.ready[name].partition("://")[2] for name in ("http", "grpc")]
        command = [sys.executable, "-m", "maas_core", "gateway", "--port", "0", "--no-keys", "--json", "--stop-on-eof"]
        gateway = subprocess.Popen(
            [*command, "--stable-http", stable[0], "--stable-grpc", stable[1]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert gateway.stdout is not None
        assert gateway.stdin is not None
        ready = next(event for event in map(json.loads, gateway.stdout) if event["event"] == "ready")
        threading.Thread(target=gateway.stdout.read, daemon=True).start()
        traffic = Traffic(ready["url"], {2.0})
        caller = threading.Thread(target=traffic.run)
        caller.start()
        yield Place(root, repository, serving, traffic)
        traffic.end()
        caller.join()
        gateway.stdin.close()
        gateway.wait(30)
        serving.stop()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=FAULTS)
def test_a_real_rollout_that_is_struck_ends_well(place: Place, number: int) -> None:
    fault, aftermath = FAULTS[number], ("resume", "rollback")[number % 2]
    bundle = make_bundle(place.root / "bundles", "double", 100 + number)
    place.traffic.allowed = {float(place.factor), 100.0 + number}
    place.traffic.problems.clear()
    # A server that is killed with requests in it cannot answer them, and ours is the only one behind the gateway.
    place.traffic.forgiven = fault.startswith(("stable", "gateway"))
    before = place.traffic.answers

    code = place.drive("start", bundle, fault)
    assert (code == _KILLED) == fault.startswith("kill")
    _check_repository(place)
    assert place.drive(aftermath, bundle) in (0, 9)

    last = states_of("double")[-1]
    assert last.outcome in ("promoted", "rolled back")
    versions = released_versions(place.repository)
    assert versions == (last.to if last.outcome == "promoted" else last.before)
    _check_repository(place)
    assert [state.view for state in read_states() if not state.is_stale] == ["stable"]
    routing = read_routing(place.root / "build" / "gateway")
    assert (routing.candidate, routing.splits) == (None, {})
    entries = (place.root / "build" / "state" / "rollouts" / "double.jsonl").read_bytes()
    assert place.drive("resume", bundle) == 0
    assert (place.root / "build" / "state" / "rollouts" / "double.jsonl").read_bytes() == entries

    place.traffic.forgiven = False
    _wait_for_traffic(place)
    assert place.traffic.answers > before
    assert place.traffic.problems == []
    source = place.repository / "double" / str(versions["double"]) / "model.py"
    place.factor = int(source.read_text().splitlines()[0].removeprefix("FACTOR = "))
    assert ask(place.traffic.url, "double")[1] == place.factor


def _wait_for_traffic(place: Place) -> None:
    answers, deadline = place.traffic.answers, time.monotonic() + 60.0
    while place.traffic.answers < answers + 5:
        assert time.monotonic() < deadline, place.traffic.problems[-3:]
        time.sleep(_EVERY_S)


def _check_repository(place: Place) -> None:
    for version in versions_of(place.repository / "double"):
        assert changed_files(version.path, read_manifest(version.path)) == []
