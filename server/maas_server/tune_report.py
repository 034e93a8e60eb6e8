"""What a search found, as a table, a plot and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from maas_server.tune_search import Outcome, Point, best_point, frontier, nearest
from maas_server.tune_settings import Setting
from maas_server.tune_slo import LatencyObjective

NOISE = 0.05
"""Less than this is not worth a change: two runs of the same setting differ by as much."""


@dataclass(frozen=True)
class Verdict:
    """What came out.

    Attributes:
        chosen: the best point of the setting to take; ``None`` where none holds the objective.
        present: the present setting at its best within the objective; where it holds nowhere, at its nearest.
        best_seen: the point that comes nearest to the objective.
    """

    model: str
    objective: LatencyObjective
    outcome: Outcome
    chosen: Point | None
    present: Point
    best_seen: Point

    @property
    def changes(self) -> bool:
        """Whether another setting is to be taken."""
        return self.chosen is not None and self.chosen.setting != self.present.setting


def judge(model: str, objective: LatencyObjective, outcome: Outcome, present: Setting) -> Verdict:
    """Chooses among the settings of the last round; the present one stays where none is clearly better."""
    own = [point for point in outcome.points if point.setting == present]
    last = [point for point in outcome.points if point.setting in outcome.finalists]
    now, best = best_point(own, objective), best_point(last, objective)
    if now is not None and best is not None and best.requests_per_s <= now.requests_per_s * (1 + NOISE):
        best = now
    return Verdict(model, objective, outcome, best, now or nearest(own, objective), nearest(outcome.points, objective))


def print_verdict(verdict: Verdict, console: Console) -> None:
    """The frontier, the present setting and the chosen one."""
    percentile = _percentile(verdict.objective)
    shown = frontier(verdict.outcome.points, percentile)
    shown += [point for point in (verdict.present, verdict.chosen) if point is not None and point not in shown]
    table = Table(
        title=f"{verdict.model}: what no other setting beats, {verdict.objective}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in ("inst", "thr", "delay us", "batch ≤", "callers", "req/s", f"{percentile} ms", "per run"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for point in sorted(shown, key=lambda point: point.latency_ms[percentile]):
        table.add_row(*_cells(point, percentile), _remark(point, verdict))
    console.print(table)
    console.print(
        "inst: instances; thr: threads of each; per run: samples in one execution; callers: each sends its next "
        "request when the last is answered",
        style="dim",
    )


def as_json(verdict: Verdict) -> dict[str, Any]:
    """All that was measured, for a program."""
    return {
        "model": verdict.model,
        "objective": dict(verdict.objective.limits_ms),
        "chosen": asdict(verdict.chosen) if verdict.chosen is not None else None,
        "present": asdict(verdict.present),
        "changes": verdict.changes,
        "best_seen": asdict(verdict.best_seen),
        "frontier": [asdict(point) for point in frontier(verdict.outcome.points, _percentile(verdict.objective))],
        "points": [asdict(point) for point in verdict.outcome.points],
        "untried": [asdict(setting) for setting in verdict.outcome.untried],
    }


def plot(verdict: Verdict, path: Path) -> None:
    """Latency against throughput, one mark for each setting and number of callers, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator

    percentile = _percentile(verdict.objective)
    points = [point for point in verdict.outcome.points if point.errors == 0]
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    for mark, callers in zip("os^Dvp", sorted({point.callers for point in points}), strict=False):
        same = [point for point in points if point.callers == callers]
        words = f"{callers} caller{'s' if callers > 1 else ''}"
        axes.scatter(*_places(same, percentile), marker=mark, s=42, alpha=0.6, label=words)
    axes.plot(*_places(frontier(points, percentile), percentile), color="0.35", linewidth=1, label="frontier", zorder=0)
    axes.axvline(verdict.objective.limits_ms[percentile], color="tab:red", linestyle="--", label=str(verdict.objective))
    _ring(axes, verdict.present, percentile, "black", f"present: {verdict.present.setting}")
    if verdict.chosen is not None and verdict.changes:
        _ring(axes, verdict.chosen, percentile, "tab:green", f"chosen: {verdict.chosen.setting}")
    axes.set(
        title=f"{verdict.model}: one sample a request, closed loop over HTTP",
        xlabel=f"{percentile} latency [ms]",
        ylabel="requests per second",
        xscale="log",
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3, which="both")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, markerscale=0.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _places(points: Sequence[Point], percentile: str) -> tuple[list[float], list[float]]:
    return [point.latency_ms[percentile] for point in points], [point.requests_per_s for point in points]


def _ring(axes: Any, point: Point, percentile: str, color: str, words: str) -> None:
    axes.scatter(*_places([point], percentile), s=190, facecolors="none", edgecolors=color, linewidths=2, label=words)


def _percentile(objective: LatencyObjective) -> str:
    """The first that the objective names: the one that tables and plot are ordered by."""
    return next(iter(objective.limits_ms))


def _cells(point: Point, percentile: str) -> list[str]:
    setting = point.setting
    return [
        str(setting.instances),
        str(setting.intra_op_threads),
        str(setting.queue_delay_us),
        str(setting.max_batch_size),
        str(point.callers),
        f"{point.requests_per_s:,.0f}",
        f"{point.latency_ms[percentile]:.2f}",
        f"{point.samples_per_execution:.1f}",
    ]


def _remark(point: Point, verdict: Verdict) -> str:
    words = [
        word
        for word, applies in (
            ("chosen", verdict.changes and point == verdict.chosen),
            ("present", point == verdict.present),
            ("misses", not point.meets(verdict.objective)),
        )
        if applies
    ]
    return ", ".join(words)
