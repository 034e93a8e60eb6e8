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

Measure = Callable[[Sequence[Setting], float, int], list[Point]]
"""``measure(settings, window_s, repeats)``: one point for each setting, number of callers, and repetition."""
Tell = Callable[[int, int, int, str], None]
"""``tell(round, position, total, what)``: what is measured next."""


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


class _Spending:
    """A budget of time, spent round by round."""

    def __init__(self, budget_s: float, levels: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._levels = levels
        self._budget_s = budget_s
        self._ends = clock()
        self._cost_s = _FIRST_COST_S
        self.window_s = 0.0

    def begin_round(self, plan: Round, settings: int) -> None:
        """Sets the length of a window so that the round takes its share."""
        self._ends += self._budget_s * plan.share
        window_s = ((self._ends - self._clock()) / settings - self._cost_s) / (self._levels * plan.repeats)
        self.window_s = min(_MOST_WINDOW_S, max(_LEAST_WINDOW_S, window_s))

    def allows_another(self) -> bool:
        """Whether one more setting fits into the round."""
        return self._clock() + self._cost_s + self.window_s * self._levels <= self._ends

    def measure(self, measure: Measure, settings: Sequence[Setting], repeats: int) -> list[Point]:
        """Measures, and learns what that costs beside the windows."""
        began = self._clock()
        points = measure(settings, self.window_s, repeats)
        windows_s = self.window_s * self._levels * repeats * len(settings)
        self._cost_s = max(0.0, self._clock() - began - windows_s) / len(settings)
        return medians(points)


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

    The last round measures its settings in turn, again and again: what else the machine does then falls on all alike.

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
    latest: dict[Setting, list[Point]] = {}
    finalists: list[Setting] = []
    spending = _Spending(budget_s, levels, clock)
    rounds = ROUNDS if len(settings) > FINALISTS + 1 else (Round(share=1.0, repeats=3),)
    for number, plan in enumerate(rounds):
        spending.begin_round(plan, len(remaining))
        found: dict[Setting, list[Point]] = {}
        if plan.repeats > 1:
            tell(number, 0, len(remaining), f"{len(remaining)} settings in turn")
            found = _by_setting(spending.measure(measure, remaining, plan.repeats))
        else:
            for position, setting in enumerate(remaining):
                if position >= 2 and not spending.allows_another():
                    break
                tell(number, position, len(remaining), str(setting))
                found[setting] = spending.measure(measure, [setting], plan.repeats)
        latest |= found
        # What a round had no time for stands by its earlier measurement; it was not found worse.
        known = [setting for setting in remaining if setting in latest]
        finalists = sorted(known, key=lambda setting: rank(latest[setting], objective), reverse=True)
        keep = FINALISTS if number == len(rounds) - 2 else max(FINALISTS, math.ceil(len(finalists) / 3))
        remaining = list(dict.fromkeys([finalists[0], present, *finalists[:keep]]))
    points = [point for measured in latest.values() for point in measured]
    return Outcome(points, finalists, [setting for setting in settings if setting not in latest])


def _by_setting(points: Sequence[Point]) -> dict[Setting, list[Point]]:
    found: dict[Setting, list[Point]] = {}
    for point in points:
        found.setdefault(point.setting, []).append(point)
    return found


def medians(points: Sequence[Point]) -> list[Point]:
    """One point for each setting and number of callers: the median of every figure, and all errors together."""
    merged = []
    for setting, callers in dict.fromkeys((point.setting, point.callers) for point in points):
        same = [point for point in points if (point.setting, point.callers) == (setting, callers)]
        merged.append(
            Point(
                setting=setting,
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
