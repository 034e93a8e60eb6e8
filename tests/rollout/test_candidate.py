"""A candidate that will not end, or hangs before anybody could find it, and what its load test is worth."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from maas_core.errors import NotHeld
from maas_rollout import servers
from maas_rollout.load_check import judged
from maas_rollout.ports import Objective
from maas_rollout.servers import CandidateServer, candidate_view
from maas_server.state_file import ServeState, StateFile

DEAF = """
import signal, time
from maas_client.ownership import owner_tag
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(owner_tag(), flush=True)
time.sleep(600)
"""
OBJECTIVE = Objective(p99_ms=20.0, error_rate=0.001)


@pytest.fixture
def deaf() -> Iterator[subprocess.Popen[str]]:
    """A process that no polite signal ends."""
    process = subprocess.Popen([sys.executable, "-c", DEAF], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def owner_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_candidate_that_does_not_end_is_killed(
    build: Path, tmp_path: Path, deaf: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    monkeypatch.setattr(servers, "_KILL_AFTER_S", 0.3)
    view = candidate_view("double")
    StateFile(view).write(ServeState(view, str(tmp_path), owner_of(deaf), deaf.pid, "now", "http://a:1", "grpc://a:2"))
    if stopped:
        deaf.send_signal(signal.SIGSTOP)
    candidate = CandidateServer("double", tmp_path, 1.0)
    candidate.stop(0.0)
    assert candidate.address() is None
    assert not psutil.pid_exists(deaf.pid)


def test_a_candidate_that_hangs_before_it_says_where_it_is_leaves_no_process(
    tmp_path: Path, build: Path, deaf: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spawn(_: CandidateServer, versions: Mapping[str, int]) -> subprocess.Popen[bytes]:
        return deaf

    monkeypatch.setattr(CandidateServer, "_spawn", spawn)
    with pytest.raises(NotHeld, match="not ready within"):
        CandidateServer("double", tmp_path, 0.2).start({"double": 2})
    assert deaf.poll() is not None


def summary(status: str, *reasons: str, p99_us: float = 5_000, **totals: int) -> dict[str, Any]:
    counts = {"answered": 200, "errors": 0, "wrong": 0, **totals}
    return {"status": status, "reasons": reasons, "totals": counts, "response_us": {"p99": p99_us}, "report": "r.json"}


DELAYED = "delayed by more than 5 ms: wanted <= 1.0%, got 3.20% (6)"
FEW = "answers: wanted >= 100, got 12"


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (summary("VALID"), "go"),
        (summary("SLO_FAILED", "p99: wanted <= 20 ms, got 31 ms", p99_us=31_000), "back"),
        (summary("INVALID", DELAYED), "go"),
        (summary("INVALID", DELAYED, p99_us=31_000), "hold"),
        (summary("INVALID", DELAYED, errors=1), "hold"),
        (summary("INVALID", DELAYED, wrong=1), "hold"),
        (summary("INVALID", FEW), "hold"),
        (summary("INVALID", DELAYED, FEW), "hold"),
        (summary("INVALID", "requests of double counted by the server: wanted 200 as by the client, got 12"), "hold"),
    ],
)
def test_a_load_test_that_is_not_valid_proves_something_only_where_it_was_merely_held_up(
    measured: dict[str, Any], verdict: str
) -> None:
    assert judged(measured, OBJECTIVE).verdict == verdict
