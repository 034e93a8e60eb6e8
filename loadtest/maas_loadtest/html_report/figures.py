"""What all charts of a page are made with: one drawing for wide windows, one for narrow ones, and a legend in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maas_loadtest.distribution import Distribution
from maas_loadtest.html_report import scales, units
from maas_loadtest.html_report.svg import FULL, NARROW, WIDE, Chart, Size

Draw = Callable[[Size], Chart]
_HISTOGRAM_BINS = 48
_CURVE_PERCENTS = (0, 10, 25, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99)


@dataclass(frozen=True)
class Figure:
    """A chart with what stands around it.

    Attributes:
        title: its heading.
        note: what it shows and in what unit, in one or two sentences.
        legend: pairs of a colour's class and what is drawn in it.
        wide: SVG, shown in wide windows.
        narrow: SVG, shown in narrow ones.
        full: whether it takes the whole width of the page.
    """

    title: str
    note: str
    legend: tuple[tuple[str, str], ...]
    wide: str
    narrow: str
    full: bool = False


def figure(title: str, note: str, legend: Sequence[tuple[str, str]], draw: Draw, *, full: bool = False) -> Figure:
    """Draws for both widths."""
    return Figure(
        title,
        note,
        tuple(legend),
        draw(FULL if full else WIDE).svg("wide"),
        draw(NARROW).svg("narrow"),
        full,
    )


@dataclass(frozen=True)
class Curve:
    """A distribution to be drawn: its colour's class and its name."""

    distribution: Distribution
    style: str
    name: str
    dashed: bool = False


def percentile_figure(curves: Sequence[Curve], title: str, note: str, limits: Sequence[tuple[str, float]]) -> Figure:
    """Latency over percentiles, the tail stretched: each mark to the right is ten times rarer.

    Args:
        curves: with at least one value each.
        title: of the figure.
        note: likewise.
        limits: words and microseconds of level lines.
    """
    points = {curve.name: _curve(curve.distribution) for curve in curves}
    most = max((len(curve) and curve[-1][0] for curve in points.values()), default=2.0)
    marks = ((2, "50"), (4, "75"), (10, "90"), (20, "95"), (100, "99"), (1e3, "99.9"), (1e4, "99.99"), (1e5, "99.999"))
    x = scales.Scale(1.0, max(most, 10.0), _rarity, "percentile", logarithmic=True, marks=((1, "0"), *marks))
    y = scales.fitting([value for curve in points.values() for _, value in curve], units.latency, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, title)
        for words, limit_us in limits:
            chart.rule_y(limit_us, words)
        for curve in curves:
            chart.line(points[curve.name], curve.style, dashed=curve.dashed, words=curve.name)
        return chart

    legend = [(f"{curve.style} dashed" if curve.dashed else curve.style, curve.name) for curve in curves]
    return figure(title, note, legend, draw)


def _rarity(value: float) -> str:
    return units.percent_name(round(100 - 100 / value, 4))


def _curve(distribution: Distribution) -> list[tuple[float, float | None]]:
    """Pairs of 1/(1 - share) and latency, up to the rarest request that was seen."""
    total = distribution.total
    if not total:
        return []
    tail = [100 - 100 / 10 ** (step / 8) for step in range(16, math.floor(8 * math.log10(max(total, 100))) + 1)]
    percents = [percent for percent in (*_CURVE_PERCENTS, *tail) if 100 / (100 - percent) <= total]
    return [(100 / (100 - percent), distribution.percentile_us(percent)) for percent in percents]


def histogram_figure(curves: Sequence[Curve], title: str, note: str, marked: Sequence[tuple[str, float]]) -> Figure:
    """How many requests took how long, bars of equal width on a logarithmic axis; a second curve is an outline.

    Args:
        curves: with at least one value each.
        title: of the figure.
        note: likewise.
        marked: words and microseconds of upright lines.
    """
    low = min(int(curve.distribution.values_us[0]) for curve in curves) * 0.95
    high = max(int(curve.distribution.values_us[-1]) for curve in curves) * 1.05
    edges = np.geomspace(max(low, 0.5), max(high, low * 1.5, 1.0), _HISTOGRAM_BINS + 1)
    shares = [curve.distribution.binned(edges) / max(1, curve.distribution.total) for curve in curves]
    x = scales.Scale(float(edges[0]), float(edges[-1]), units.latency, "response time", logarithmic=True)
    y = scales.linear([float(part.max()) for part in shares], units.share, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, title)
        for curve, part in zip(curves, shares, strict=True):
            for number, value in enumerate(part):
                if value:
                    told = f"{units.latency(edges[number])} to {units.latency(edges[number + 1])}: {units.share(value)}"
                    chart.bar(float(edges[number]), float(edges[number + 1]), float(value), curve.style, told)
        for row, (words, value) in enumerate(marked):
            chart.rule_x(value, words, row)
        return chart

    return figure(title, note, [(curve.style, curve.name) for curve in curves] if len(curves) > 1 else [], draw)
