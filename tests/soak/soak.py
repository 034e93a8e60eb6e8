"""A soak of `maas serve`: mixed load with every answer compared, while stubs and servers are killed.

Run it with ``make soak``, or for a minute with ``python -m tests.soak.soak --duration-s 60 --server-kill-every-s 25``.
Ends with exit code 1 where an answer was wrong, a failure was not told, a retry loop gave up, or memory grew.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import psutil
from tests.server.serving import Serving, start_serving
from tests.soak.faults import Footprint, Killer, measure, stub_picker, wait_for_stubs
from tests.soak.load import Caller, GrpcWire, HttpWire, Tally
from tests.soak.models import write_models

_CALLERS = {"tiny": 3, "large": 1, "running_sum": 3}
"""How many callers of each kind, over each protocol."""
_STUBS = 5
_GROWTH = 1.25
"""Memory may be this much of what it was after warm-up; allocators do not give all back."""
_SETTLE_S = 45.0
"""Replaced instances may work for as long as `maas serve --drain-timeout` says: 30 s by default."""
_MIB = 2**20


@click.command()
@click.option("--duration-s", type=float, default=900.0, show_default=True)
@click.option("--warm-up-s", type=float, default=20.0, show_default=True)
@click.option("--stub-kill-every-s", type=float, default=20.0, show_default=True)
@click.option("--server-kill-every-s", type=float, default=120.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--report", type=click.Path(path_type=Path), default=Path("build/reports/soak.json"), show_default=True)
def soak(
    duration_s: float, warm_up_s: float, stub_kill_every_s: float, server_kill_every_s: float, seed: int, report: Path
) -> None:
    """Load a supervised server with tiny, large and sequence requests, and kill its parts meanwhile."""
    with tempfile.TemporaryDirectory(prefix="maas-soak-") as folder:
        write_models(Path(folder) / "models")
        serving = start_serving(Path(folder) / "models", Path(folder) / "build")
        try:
            result = _run(serving, duration_s, warm_up_s, stub_kill_every_s, server_kill_every_s, seed)
        finally:
            serving.stop(60)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    click.echo(json.dumps(result, indent=1))
    if result["problems"]:
        click.get_current_context().exit(1)


def _run(
    serving: Serving,
    duration_s: float,
    warm_up_s: float,
    stub_kill_every_s: float,
    server_kill_every_s: float,
    seed: int,
) -> dict[str, Any]:
    tally, stop, stop_killing = Tally(), threading.Event(), threading.Event()
    callers = _callers(serving, tally, stop)
    for caller in callers:
        caller.start()
    time.sleep(warm_up_s)
    before = measure(serving.process.pid, _triton_pid(serving))
    stub_killer = Killer(stub_kill_every_s, stub_picker(lambda: _triton_pid(serving), seed), stop_killing)
    server_killer = Killer(server_kill_every_s, lambda: psutil.Process(_triton_pid(serving)), stop_killing)
    for killer in (stub_killer, server_killer):
        killer.start()
    time.sleep(duration_s)
    stop_killing.set()
    # The last repair, and as long a time of load as the warm-up had.
    wait_for_stubs(serving.process.pid, lambda: _triton_pid(serving), _STUBS, _SETTLE_S)
    time.sleep(warm_up_s)
    after = wait_for_stubs(serving.process.pid, lambda: _triton_pid(serving), _STUBS, _SETTLE_S)
    stop.set()
    for caller in callers:
        caller.join(120)
    state = serving.state
    return {
        "duration_s": duration_s,
        "stub_kills": stub_killer.kills,
        "server_kills": server_killer.kills,
        "answers": dict(tally.answers),
        "wrong": tally.wrong[:10],
        "failures_told": dict(tally.told.most_common()),
        "failures_untold": dict(tally.untold),
        "given_up": tally.given_up,
        "sequences_restarted": tally.sequences_restarted,
        "restarts": state["restarts"],
        "reloads": state["reloads"],
        "left_out": state["failed"],
        "before": asdict(before),
        "after": asdict(after),
        "problems": _problems(tally, before, after, state, callers),
    }


def _callers(serving: Serving, tally: Tally, stop: threading.Event) -> list[Caller]:
    http_address = serving.ready["http"].removeprefix("http://")
    grpc_address = serving.ready["grpc"].removeprefix("grpc://")
    callers = []
    for kind, count in _CALLERS.items():
        for _ in range(count):
            for wire in (HttpWire(http_address), GrpcWire(grpc_address)):
                callers.append(Caller(kind, wire, len(callers), tally, stop))
    return callers


def _triton_pid(serving: Serving) -> int:
    return int(serving.state["triton_pid"])


def _problems(
    tally: Tally, before: Footprint, after: Footprint, state: dict[str, Any], callers: list[Caller]
) -> list[str]:
    problems = []
    if tally.wrong:
        problems.append(f"{len(tally.wrong)} wrong answers")
    if tally.untold:
        problems.append(f"{sum(tally.untold.values())} calls were neither answered nor failed")
    if tally.given_up:
        problems.append(f"{len(tally.given_up)} calls failed in spite of the retry loop")
    if state["failed"]:
        problems.append(f"left out: {state['failed']}")
    if any(caller.is_alive() for caller in callers):
        problems.append("a caller hangs")
    if after.stubs != _STUBS or after.regions != before.regions or after.region_bytes > _GROWTH * before.region_bytes:
        problems.append("stubs or shared memory are not as after warm-up")
    for what in ("server_bytes", "supervisor_bytes"):
        was, is_now = getattr(before, what), getattr(after, what)
        if is_now > _GROWTH * was:
            problems.append(f"{what} grew from {was / _MIB:.0f} to {is_now / _MIB:.0f} MiB")
    return problems


if __name__ == "__main__":
    soak()
