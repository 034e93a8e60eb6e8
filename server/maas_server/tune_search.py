"""Successive halving: all settings briefly, the better third longer, the best few long and repeatedly.

Source: K. Jamieson, A. Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016. The
budget is a time, since what a setting costs to try (loading the model) is not known before.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from maas_server.tune_settings import Setting
from maas_server.tune_slo import PERCENTILES, LatencyObjective

FINALISTS = 3
_LEAST_WINDOW_S = 0.25
_MOST_WINDOW_S = 3.0
_FIRST_COST_S = 3.0
"""What trying a setting costs beside measuring, until that has been seen."""


@dataclass(frozen=True)
class Point:
    """One setting under a number of callers.

    Attributes:
        callers: each sends its next request when the last is answered.
        latency_ms: by percentile, from the first byte sent to the last byte received.
        samples_per_execution: how large batches really were.
        errors: requests that failed; with any, no objective holds.
    """

    setting: Setting
    callers: int
    requests_per_s: float
    latency_ms: Mapping[str, float]
    samples_per_execution: float
    requests: int
    errors: int

    def meets(self, objective: LatencyObjective) -> bool:
        """Whether the objective held."""
        return self.errors == 0 and self.requests > 0 and objective.holds(self.latency_ms)


@dataclass(frozen=True)
class Round:
    """How much is spent on each of the remaining settings."""

    share: float
    repeats: int


ROUNDS = (Round(share=0.5, repeats=1), Round(share=0.25, repeats=1), Round(share=0.25, repeats=3))

Measure = Callable[[Setting, float, int], list[Point]]
"""``measure(setting, window_s, repeats)``: one point for each number of callers, and repetition."""
Tell = Callable[[int, int, int, Setting], None]
"""``tell(round, position, total, setting)``: what is measured next."""


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        points: the last and longest measurement of each setting and number of callers, medians of the repeats.
        finalists: the settings of the last round, best first.
        untried: settings for which no time was left.
    """

    points: list[Point]
    finalists: list[Setting]
    untried: list[Setting]


def search(
    settings: Sequence[Setting],
    levels: int,
    objective: LatencyObjective,
    measure: Measure,
    budget_s: float,
    tell: Tell,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Looks for the settings that carry most within the objective.

    Args:
        settings: what to try, the present setting first; that one is measured in every round.
        levels: how many numbers of callers one measurement goes through.
        objective: what must hold.
        measure: does the measuring.
        budget_s: time for all of it; every round measures at least two settings, whatever they cost.
        tell: called before each measurement.
        clock: seconds that only grow.
    """
    present, remaining = settings[0], list(settings)
    measured: dict[Setting, list[Point]] = {}
    finalists: list[Setting] = []
    began = clock()
    spent_share, cost_s = 0.0, _FIRST_COST_S
    for number, plan in enumerate(_rounds(len(settings))):
        spent_share += plan.share
        ends = began + budget_s * spent_share
        window_s = _window_s(ends - clock(), len(remaining), levels * plan.repeats, cost_s)
        finalists = []
        for position, setting in enumerate(remaining):
            if position >= 2 and clock() + cost_s + window_s * levels * plan.repeats > ends:
                break
            tell(number, position, len(remaining), setting)
            start = clock()
            measured[setting] = medians(measure(setting, window_s, plan.repeats))
            cost_s = max(0.0, clock() - start - window_s * levels * plan.repeats)
            finalists.append(setting)
        ranked = sorted(finalists, key=lambda setting: rank(measured[setting], objective), reverse=True)
        keep = max(FINALISTS, math.ceil(len(ranked) / 3))
        remaining = list(dict.fromkeys([ranked[0], present, *ranked[:keep]]))
        finalists = ranked
    points = [point for found in measured.values() for point in found]
    return Outcome(points, finalists, [setting for setting in settings if setting not in measured])


def _rounds(count: int) -> Sequence[Round]:
    """Few settings need no elimination."""
    return ROUNDS if count > FINALISTS + 1 else (Round(share=1.0, repeats=3),)


def _window_s(left_s: float, settings: int, windows: int, cost_s: float) -> float:
    window_s = (left_s / settings - cost_s) / windows
    return min(_MOST_WINDOW_S, max(_LEAST_WINDOW_S, window_s))


def medians(points: Sequence[Point]) -> list[Point]:
    """One point for each number of callers: the median of every figure, and all errors together."""
    merged = []
    for callers in dict.fromkeys(point.callers for point in points):
        same = [point for point in points if point.callers == callers]
        merged.append(
            Point(
                setting=same[0].setting,
                callers=callers,
                requests_per_s=statistics.median(point.requests_per_s for point in same),
                latency_ms={name: statistics.median(point.latency_ms[name] for point in same) for name in PERCENTILES},
                samples_per_execution=statistics.median(point.samples_per_execution for point in same),
                requests=sum(point.requests for point in same),
                errors=sum(point.errors for point in same),
            )
        )
    return merged


def best_point(points: Sequence[Point], objective: LatencyObjective) -> Point | None:
    """The one that answers most requests a second within the objective."""
    holding = [point for point in points if point.meets(objective)]
    return max(holding, key=lambda point: point.requests_per_s, default=None)


def rank(points: Sequence[Point], objective: LatencyObjective) -> tuple[float, float]:
    """Orders settings: first by what they carry within the objective, then by how near they come to it."""
    best = best_point(points, objective)
    return (best.requests_per_s if best else 0.0, -min(_excess(point, objective) for point in points))


def nearest(points: Sequence[Point], objective: LatencyObjective) -> Point:
    """The point that comes nearest to the objective."""
    return min(points, key=lambda point: _excess(point, objective))


def _excess(point: Point, objective: LatencyObjective) -> float:
    if point.errors or not point.requests:
        return math.inf
    return max(point.latency_ms[name] / limit for name, limit in objective.limits_ms.items())


def frontier(points: Sequence[Point], percentile: str) -> list[Point]:
    """The points that no other beats in both latency and throughput, fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda point: (point.latency_ms[percentile], -point.requests_per_s)):
        if point.errors == 0 and (not kept or point.requests_per_s > kept[-1].requests_per_s):
            kept.append(point)
    return kept
