"""``python -m bench client``: measures, prints the table, writes JSON and Markdown to ``build/reports/``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import click

from bench.client import calls
from bench.client.servers import SIZES, serve_noop
from bench.client.timing import Pair, compare
from bench.goals import Goal
from bench.machine import quiet, watch
from bench.table import goal_table
from maas_core.errors import NotHeld
from maas_core.layout import build_dir
from maas_server.embedded import EmbeddedTriton

_MIB = 2**20
_IMPORTS = 7
_HEAVY = ("torch", "gevent", "cuda", "cupy", "tensorrt")
_QUIET_SHARE = 0.08


@dataclass
class Found:
    """What was measured.

    Attributes:
        environment: when and where.
        pairs: by name.
        rss_bytes: of a process that calls, after the warm-up and at equal distances after it.
        goals: what is to be reached.
    """

    environment: dict[str, Any]
    pairs: dict[str, Pair] = field(default_factory=dict)
    rss_bytes: list[int] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


@click.command("client", epilog="Example: python -m bench client --calls 1000000")
@click.option("--quick", is_flag=True, help="Half a second each: shows that it works, measures nothing.")
@click.option("--seconds", default=15.0, show_default=True, help="For each pair of calls.")
@click.option("--calls", "call_count", default=100_000, show_default=True, help="While memory is watched.")
@click.option(
    "--patience", default=20.0, show_default=True, help="Seconds to wait for a quiet machine before each pair."
)
@click.option("--name", default="client", show_default=True, help="Of the files in build/reports/.")
def client(quick: bool, seconds: float, call_count: int, patience: float, name: str) -> None:
    """The client library beside bare tritonclient: one call, 64 singles, shared memory, import, memory."""
    seconds, call_count, patience = (0.5, 2_000, 0.0) if quick else (seconds, call_count, patience)
    found = Found({"time": time.strftime("%Y-%m-%d %H:%M:%S%z"), "cores": os.cpu_count(), "seconds": seconds})
    with serve_noop() as triton:
        for what, bound, at_least, pair in _pairs(triton):
            quiet(_QUIET_SHARE, patience)
            _compare(found, what, pair, bound, at_least, seconds)
        _watch_memory(found, triton, call_count)
    _time_imports(found)
    text = _report(found)
    folder = build_dir() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    rows = [{**asdict(goal), "reached": goal.reached} for goal in found.goals]
    (folder / f"{name}.json").write_text(json.dumps({**asdict(found), "goals": rows}, indent=1), encoding="utf-8")
    click.echo(f"{text}\nwritten: {folder / name}.md, .json")


def _pairs(
    triton: EmbeddedTriton,
) -> Iterator[tuple[str, float, bool, AbstractContextManager[tuple[calls.Call, calls.Call]]]]:
    """What is compared, the bound of its ratio, whether it is a gain (else a cost)."""
    for protocol in calls.PROTOCOLS:
        for size, model in SIZES.items():
            yield f"one call, {size}, {protocol}", 1.05, False, calls.one_call(triton, protocol, model)
    for protocol in calls.PROTOCOLS:
        yield f"{calls.SINGLES} singles by map, {protocol}", 2.0, True, calls.many_singles(triton, protocol)
    yield "10 MB through shared memory, beside gRPC", 0.5, False, calls.shared_memory(triton)


def _compare(
    found: Found,
    what: str,
    pair: AbstractContextManager[tuple[calls.Call, calls.Call]],
    bound: float,
    at_least: bool,
    seconds: float,
) -> None:
    with pair as (ours, bare), watch() as seen:
        times = compare(ours, bare, seconds)
    found.pairs[what] = times
    value = 1 / times.ratio if at_least else times.ratio
    words = f"{what}: times as fast as bare" if at_least else f"{what}: multiple of its time"
    found.goals.append(Goal(words, bound, at_least, value, others=seen.others))
    click.echo(
        f"{what:45} {times.ours_ms:9.3f} ms {times.bare_ms:9.3f} ms  {value:.3f}  others {seen.others:.0%}", err=True
    )


def _watch_memory(found: Found, triton: EmbeddedTriton, call_count: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.client.memory", str(call_count), triton.grpc_url, triton.http_url],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotHeld(f"the process whose memory is watched failed: {done.stderr.strip().splitlines()[-1]}")
    found.rss_bytes = json.loads(done.stdout)
    grown = (max(found.rss_bytes[1:]) - found.rss_bytes[0]) / _MIB
    found.goals.append(Goal(f"{call_count:,} calls: growth of the process (MiB)", 5.0, False, grown))


def _time_imports(found: Found) -> None:
    """Beyond what Python itself takes to start."""
    program = f"import sys, maas_client; print([n for n in sys.modules if n.partition('.')[0] in {_HEAVY!r}])"
    took_s, bare_s, heavy = [], [], "[]"
    for _ in range(_IMPORTS):
        for code, times in ((program, took_s), ("pass", bare_s)):
            started = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            times.append(time.perf_counter() - started)
            heavy = done.stdout.strip() or heavy
    seconds = median(took_s) - median(bare_s)
    found.goals.append(Goal("import maas_client (s)", 0.3, False, seconds))
    found.goals.append(
        Goal("modules of torch, gevent or CUDA that it imports", 0, False, float(len(json.loads(heavy))))
    )


def _report(found: Found) -> str:
    rows = [
        f"| {what} | {pair.ours_ms:.3f} | {pair.bare_ms:.3f} | {pair.ratio:.3f} "
        f"| {pair.spread[0]:.3f} to {pair.spread[1]:.3f} | {pair.rounds} |"
        for what, pair in found.pairs.items()
    ]
    head = [
        "| what | ours (ms) | beside it (ms) | ratio | middle half of the rounds | rounds |",
        "|---|---|---|---|---|---|",
    ]
    sizes = ", ".join(f"{size / _MIB:.1f}" for size in found.rss_bytes)
    parts = ["## Goals", "", *goal_table(found.goals), "", "## Times", "", *head, *rows]
    return "\n".join([*parts, "", f"Resident memory while it called (MiB): {sizes}.", ""])
