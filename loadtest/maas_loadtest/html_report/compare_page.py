"""The page of two load tests side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from maas_loadtest.compare import LOST, MEAN, THROUGHPUT, Change, Comparison
from maas_loadtest.distribution import Distribution, merged, read_distribution
from maas_loadtest.html_report import scales, units
from maas_loadtest.html_report.charts import limits_of, time_scale, windowed
from maas_loadtest.html_report.figures import Curve, Figure, figure, histogram_figure, percentile_figure
from maas_loadtest.html_report.page import Cell, Table, Tile, Toned, render
from maas_loadtest.html_report.report_page import subtitle
from maas_loadtest.html_report.svg import Chart, Size
from maas_loadtest.report_model import LoadReport
from maas_loadtest.time_line import loaded_windows

_TONES = {"better": "good", "same": "", "worse": "bad", "unclear": "warn"}
_NAMES = {THROUGHPUT: "answered per second", LOST: "lost", MEAN: "mean"}
_SIDES = (("baseline", "c6"), ("candidate", "c4"))


def compare_html(comparison: Comparison) -> str:
    """One self-contained HTML file."""
    tone, status, meaning, reasons = conclusion(comparison)
    return render(
        "compare.html",
        title="Two load tests compared",
        subtitles=[
            f"Baseline: {_runs(comparison.baseline)}",
            f"Candidate: {_runs(comparison.candidate)}",
        ],
        tone=tone,
        status=status,
        meaning=meaning,
        reasons=reasons,
        tiles=[_tile(change) for change in comparison.changes if change.name in comparison.gated],
        changes=change_table(comparison),
        intervals=_intervals(comparison.changes),
        figures=list(_figures(comparison)),
        differences=_differences(comparison),
    )


def conclusion(comparison: Comparison) -> tuple[str, str, str, list[str]]:
    """Tone, verdict, what it means, and the reasons."""
    if comparison.obstacles:
        return "warn", "NOT COMPARABLE", "The figures of these tests must not be compared.", comparison.obstacles
    if comparison.regressions:
        reasons = [change_in_words(change) for change in comparison.regressions]
        return "bad", "WORSE", "Beyond the tolerance, and more than chance explains.", reasons
    if comparison.unclear:
        reasons = [f"{name_of(change)}: {change.note}" for change in comparison.unclear]
        return (
            "warn",
            "UNCLEAR",
            "Nothing is certainly worse, but a loss beyond the tolerance is not ruled out.",
            reasons,
        )
    return "good", "NOT WORSE", "A loss beyond the tolerance is ruled out for every figure that the gate looks at.", []


def change_in_words(change: Change) -> str:
    """One sentence with both figures and the interval."""
    return (
        f"{name_of(change)} went from {_value(change, change.baseline)} to {_value(change, change.candidate)}: "
        f"{_interval(change)}, accepted is {_signed(change, change.tolerance)}"
    )


def name_of(change: Change) -> str:
    """What people call it."""
    return _NAMES.get(change.name, change.name)


def change_table(comparison: Comparison) -> Table:
    """All figures, gated or not."""
    rows: list[Sequence[Cell]] = [
        [
            name_of(change) if change.name in comparison.gated else Toned(name_of(change), "dim"),
            Toned(change.outcome, _TONES[change.outcome]),
            _value(change, change.baseline),
            _value(change, change.candidate),
            _signed(change, change.change.estimate),
            f"{_signed(change, change.change.low)} to {_signed(change, change.change.high)}",
        ]
        for change in comparison.changes
    ]
    return Table(("", "", "baseline", "candidate", "change", "95 % interval"), rows, numbers_from=2)


def _runs(reports: Sequence[LoadReport]) -> str:
    more = f" and {len(reports) - 1} more" if len(reports) > 1 else ""
    return subtitle(reports[0]) + more


def _value(change: Change, value: float | None) -> str:
    if value is None:
        return "–"
    return {"us": units.latency, "per_s": units.rate, "share": units.share}[change.unit](value)


def _signed(change: Change, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if change.unit == "share":
        return f"{100 * value:+.2f} points"
    return f"{100 * value:+.1f} %"


def _interval(change: Change) -> str:
    estimate, low, high = (
        _signed(change, value) for value in (change.change.estimate, change.change.low, change.change.high)
    )
    return f"{estimate} (95 % interval {low} to {high})"


def _tile(change: Change) -> Tile:
    both = f"{_value(change, change.baseline)} → {_value(change, change.candidate)}"
    return Tile(
        f"{name_of(change)}: {change.outcome}", _signed(change, change.change.estimate), both, _TONES[change.outcome]
    )


def _intervals(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The relative changes as bars about zero, as shares of the width (0 to 100)."""
    shown = [change for change in changes if change.unit != "share" and math.isfinite(change.change.low)]
    widest = max(
        (max(abs(change.change.low), abs(change.change.high), change.tolerance) for change in shown), default=0.0
    )
    scale = 48 / (widest * 1.05 or 1.0)

    def place(value: float) -> float:
        return round(50 + scale * value, 2)

    return [
        {
            "name": name_of(change),
            "style": {"better": "good", "worse": "bad"}.get(change.outcome, "dim"),
            "low": place(change.change.low),
            "width": max(0.4, round(place(change.change.high) - place(change.change.low), 2)),
            "estimate": place(change.change.estimate),
            "limit": place(change.tolerance * (-1 if change.name == THROUGHPUT else 1)),
            "words": _interval(change),
        }
        for change in shown
    ]


def _figures(comparison: Comparison) -> Iterator[Figure]:
    sides = (comparison.baseline, comparison.candidate)
    curves = [
        Curve(_response(reports), style, name)
        for (name, style), reports in zip(_SIDES, sides, strict=True)
        if any(report.response.count for report in reports)
    ]
    yield _over_time(comparison)
    if curves:
        objective = comparison.candidate[0].objective
        limits = limits_of(objective.text) if objective else []
        yield percentile_figure(curves, "Percentiles", "Response times of both.", limits)
        outlined = [
            Curve(
                curve.distribution, f"outline {curve.style}" if curve.name == "candidate" else curve.style, curve.name
            )
            for curve in curves
        ]
        yield histogram_figure(outlined, "Histogram of response times", "Share of each side's answers.", [])


def _response(reports: Sequence[LoadReport]) -> Distribution:
    return merged(read_distribution(report.response.histogram) for report in reports)


def _over_time(comparison: Comparison) -> Figure:
    baseline, candidate = comparison.baseline[0], comparison.candidate[0]
    lines = []
    for report, (name, style) in zip((baseline, candidate), _SIDES, strict=True):
        lines.append((f"{name} p99", style, False, windowed(loaded_windows(report), lambda window: window.p99_us)))
        lines.append((f"{name} p50", style, True, windowed(loaded_windows(report), lambda window: window.p50_us)))
    x = max((time_scale(report) for report in (baseline, candidate)), key=lambda scale: scale.high)
    y = scales.fitting([value for *_, points in lines for _, value in points], units.latency, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, "Response time over time")
        for name, style, dashed, points in lines:
            chart.line(points, style, dashed=dashed, words=name)
        return chart

    legend = [(f"{style} dashed" if dashed else style, name) for name, style, dashed, _ in lines]
    note = "Of each window; of several runs, the first is shown."
    return figure("Response time over time", note, legend, draw, full=True)


def _differences(comparison: Comparison) -> Table:
    rows: list[Sequence[Cell]] = [
        [
            one.what,
            one.baseline,
            one.candidate,
            Toned("not comparable", "bad") if one.matters else Toned("noted", "dim"),
        ]
        for one in comparison.differences
    ]
    return Table(("", "baseline", "candidate", ""), rows, numbers_from=4)
