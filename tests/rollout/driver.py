"""A rollout on the real servers and the real gateway, in a process that can be killed at a moment of its journal.

``python -m tests.rollout.driver start BUNDLE REPOSITORY`` (or ``resume``, ``rollback``). The gates say go, and there is
no load test: what is under test is the way, not the judgement. ``MAAS_TEST_FAULT=kill:after:begin:promote`` strikes.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from tests.rollout.fake_triton import FakeGate

from maas_core.errors import MaasError, NotHeld
from maas_core.layout import build_dir
from maas_gateway.state import read_gateway_state
from maas_rollout.journal import Journal
from maas_rollout.ports import Judgement
from maas_rollout.service import Rollouts, states_of
from maas_rollout.settings import Settings
from maas_rollout.state import RolloutState, active
from maas_rollout.wiring import ports_of
from maas_rollout.world import Ports
from maas_server.state_file import read_states

MODEL = "double"
_DONE, _TOLD = 0, 9


def main(action: str, bundle: Path, repository: Path) -> int:
    _arm(os.environ.get("MAAS_TEST_FAULT", ""))
    rollouts = Rollouts(_ports)
    try:
        if action == "start":
            rollouts.start(rollouts.plan_release(MODEL, [bundle], repository, _settings(), "a test"))
        elif action == "resume" and active(states_of(MODEL)) is not None:
            rollouts.resume(MODEL)
        elif action == "rollback":
            _roll_back(rollouts)
    except MaasError as error:
        sys.stderr.write(f"{error.message}\n")
        return _TOLD
    return _DONE


def _roll_back(rollouts: Rollouts) -> None:
    try:
        rollouts.roll_back(MODEL)
    except NotHeld as error:
        # It is back already, and there is nothing before it.
        if "nothing was released" not in error.message:
            raise


def _settings() -> Settings:
    return Settings(
        weights=(50, 100),
        interval_s=0.5,
        load_s=0,
        p99_ms=1000.0,
        error_rate=0.0,
        keep=3,
        drain_s=1.0,
        gateway_state=str(build_dir() / "gateway"),
    )


def _ports(state: RolloutState) -> Ports:
    return replace(ports_of(state), gates_for=lambda _: [FakeGate([Judgement("go")])])


def _arm(fault: str) -> None:
    if not fault:
        return
    what, when, kind, step = fault.split(":")
    append = Journal._append

    def watched(journal: Journal, rollout: str, entry_kind: str, data: dict[str, Any]) -> Any:
        is_it = (entry_kind, data.get("step", "")) == (kind, step)
        if is_it and when == "before":
            _strike(what)
        entry = append(journal, rollout, entry_kind, data)
        if is_it and when == "after":
            _strike(what)
        return entry

    Journal._append = watched  # type: ignore[method-assign]  # in this process only


def _strike(what: str) -> None:
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "disk full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    elif what == "gateway":
        psutil.Process(_envoy()).kill()
    else:
        view = "stable" if what == "stable" else f"candidate-{MODEL}"
        psutil.Process(next(state.triton_pid for state in read_states() if state.view == view)).kill()


def _envoy() -> int:
    pid = read_gateway_state(build_dir() / "gateway").pid
    return int(next(child.pid for child in psutil.Process(pid).children() if "envoy" in child.name()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
