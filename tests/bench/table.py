"""The tables, in Markdown: what was measured, as ratios, and what of the goals is reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.goals import LARGE, Goal, ratio, weight_copies
from bench.markdown import table
from bench.peers.peer import HTTP
from bench.peers.python import FASTAPI
from bench.peers.triton import NOOP_PEER, TRITON
from bench.records import IN_PROCESS, Records, loads

_MIB = 2**20
_CPU_NOTE = (
    "Ratios and processor time are at the most callers. Processor time is the server's front + its workers + the load "
    "generator; it depends far less than a rate on what else the machine does. One row in process has one figure."
)


def report(records: Records, found: Sequence[Goal]) -> str:
    """All tables."""
    parts = ["## Goals", "", *goal_table(found)]
    for model in dict.fromkeys(cell.model for cell in records.cells):
        parts += ["", f"## {model}", "", *_model(records, model)]
    parts += ["", _CPU_NOTE]
    parts += ["", "## Start and memory", "", *_starts(records)]
    errors, others = loads(records.cells)
    parts += ["", f"Failed requests in all: {errors}."]
    parts += [f"The most that other programs took of the machine during one measurement: {others:.0%}."]
    parts += [f"Not measured: {what}." for what in records.missing]
    return "\n".join(parts) + "\n"


def goal_table(found: Sequence[Goal]) -> list[str]:
    """The goals, and which of them are reached."""
    rows = []
    for goal in found:
        value = "not measured" if goal.value is None else f"{goal.value:,.2f}"
        by_cpu = "" if goal.by_cpu is None else f"{goal.by_cpu:,.2f}"
        verdict = {True: "reached", False: "**not reached**", None: "–"}[goal.reached]
        if goal.value is not None and not goal.valid:
            verdict = f"not valid: others took {goal.others:.0%}"
        rows.append([goal.what, f"{'≥' if goal.at_least else '≤'} {goal.bound:,g}", value, by_cpu, verdict])
    return table(["goal", "wanted", "found", "by CPU time", ""], rows)


def _model(records: Records, model: str) -> list[str]:
    callers = list(dict.fromkeys(cell.callers for cell in records.cells if cell.model == model))
    compute = records.best_compute(model)
    width = 2 * len(callers) + 6
    rows = []
    if compute is not None:
        how = f"{compute.processes} × {compute.threads} threads, batch {compute.batch_size}"
        rows.append(_single(IN_PROCESS, how, compute.rate, width, f"{compute.cpu_us:,.0f}"))
    for peer, wire in dict.fromkeys((cell.peer, cell.wire) for cell in records.cells if cell.model == model):
        bound = records.limit(model, NOOP_PEER.name, wire, max(callers))
        if peer == TRITON.name and bound is not None:
            rows.append(_single("limit", wire, bound, width))
        rows.append([peer, wire, *_figures(records, model, peer, wire, callers)])
    counts = [text for count in callers for text in (f"{count} caller{'s' * (count > 1)}: 1/s", "p50 / p99 ms")]
    return table(["who", "over", *counts, "of the limit", "of in process", "× FastAPI", "CPU µs a request"], rows)


def _single(who: str, how: str, rate: float, width: int, cpu: str = "") -> list[str]:
    """A row of one figure, which stands under the most callers."""
    row = [who, how, *[""] * (width - 2)]
    row[-6], row[-1] = f"{rate:,.1f}", cpu
    return row


def _figures(records: Records, model: str, peer: str, wire: str, callers: Sequence[int]) -> Iterator[str]:
    for count in callers:
        rate = records.rate(model, peer, wire, count)
        p50 = records.median(model, peer, wire, count, lambda load: load.p50_ms)
        p99 = records.median(model, peer, wire, count, lambda load: load.p99_ms)
        yield "" if rate is None else f"{rate:,.1f}"
        yield "" if p50 is None or p99 is None else f"{p50:,.2f} / {p99:,.2f}"
    most = records.rate(model, peer, wire, max(callers))
    compute = records.best_compute(model)
    fastapi = records.rate(model, FASTAPI.name, HTTP, max(callers))
    for below in (records.limit(model, NOOP_PEER.name, wire, max(callers)), compute.rate if compute else None, fastapi):
        share = ratio(most, below)
        yield "" if share is None else f"{share:.2f}"
    cpu_us = records.cpu_us(model, peer, wire, max(callers))
    yield "" if cpu_us is None else " + ".join(f"{part:,.0f}" for part in cpu_us)


def _starts(records: Records) -> list[str]:
    rows = []
    for model, peer in dict.fromkeys((start.model, start.peer) for start in records.starts):
        seconds = sorted(start.startup_s for start in records.starts if (start.model, start.peer) == (model, peer))
        sizes = records.instance_bytes(model, peer)
        copies = weight_copies(records, peer) if model == LARGE else None
        rows.append(
            [
                model,
                peer,
                f"{seconds[len(seconds) // 2]:.2f}",
                f"{sum(sizes) / _MIB:,.0f}",
                " + ".join(f"{size / _MIB:,.0f}" for size in sizes[:3]),
                "" if copies is None else f"{copies:.2f}",
            ]
        )
    head = [
        "model",
        "who",
        "first answer after (s)",
        "private memory (MiB)",
        "largest processes (MiB)",
        "copies of the weights in one",
    ]
    note = [f"{name}: {size / _MIB:,.1f} MiB of weights" for name, size in records.weights_bytes.items()]
    return [*table(head, rows), "", "; ".join(note) + f". {TRITON.name} runs one process per instance."]
