"""The highest rate that holds an objective: bracketed, bisected, confirmed five times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCHEMA = 1
CONFIRMATIONS = 5
_MOST_STEPS_DOWN = 4
_MOST_TRIES = 3
"""Of a load test that says nothing about the server: what disturbed it may be gone the next time."""


class Limit(StrEnum):
    """What kept a rate from holding."""

    NOTHING = "nothing"
    SERVER = "server"
    GENERATOR = "generator"
    """The load generator itself: the server might well have held it."""
    MEASUREMENT = "measurement"
    """The load test was not valid for another reason, e.g. too short, or somebody else called the model."""


class PeakStatus(StrEnum):
    """How a search ended."""

    FOUND = "FOUND"
    """A rate held five times, and one slightly higher did not."""
    NONE_HOLDS = "NONE_HOLDS"
    """Not even the lowest rate held."""
    AT_LEAST = "AT_LEAST"
    """The highest allowed rate, or the generator's own limit, was reached before the server's."""
    NOT_CONFIRMED = "NOT_CONFIRMED"
    """Rates held once and failed when asked again, down to well below the first."""
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True)
class Probe:
    """One load test of the search.

    Attributes:
        rate_per_s: offered.
        achieved_per_s: answered.
        holds: whether it was valid and held the objective.
        limit: what kept it from that.
        latency_us: at ``percent``; None where nothing was answered.
        percent: of the objective's first limit on a latency.
        reasons: of its verdict.
        seed: of its schedule.
        report: its folder.
        confirms: whether it was one of those that ask again.
    """

    rate_per_s: float
    achieved_per_s: float
    holds: bool
    limit: Limit
    latency_us: float | None
    percent: float
    reasons: tuple[str, ...]
    seed: int
    report: str
    confirms: bool = False


@dataclass
class Peak:
    """What a search found.

    Attributes:
        objective: as it was given.
        peak_per_s: the highest rate that held; with ``AT_LEAST`` there may be higher ones. None where none held.
        fails_per_s: the lowest rate above it that did not hold.
        confirmed: how often the peak was asked again and held.
        probes: in the order in which they were made.
    """

    objective: str
    status: PeakStatus = PeakStatus.INTERRUPTED
    peak_per_s: float | None = None
    fails_per_s: float | None = None
    confirmed: int = 0
    probes: list[Probe] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs; the fields stay as long as ``schema`` does."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class Bounds:
    """Where to search.

    Attributes:
        start_per_s: the first rate.
        lowest_per_s: nothing below it is tried.
        highest_per_s: nothing above it.
        resolution: how near the failing rate must come, relative: 0.05 for 5 %.
    """

    start_per_s: float
    lowest_per_s: float
    highest_per_s: float
    resolution: float


Ask = Callable[[float, bool], Probe]
"""Loads with that rate; whether it confirms."""


def search(ask: Ask, bounds: Bounds, peak: Peak, confirmations: int = CONFIRMATIONS) -> None:
    """Fills ``peak``, so that what was found until an interruption is kept.

    Args:
        ask: makes one load test; called again for the same rate, it takes another seed.
        bounds: of the rates.
        peak: empty.
        confirmations: how often the peak must hold again.
    """
    _Search(ask, bounds, peak).run(confirmations)


class _Search:
    def __init__(self, ask: Ask, bounds: Bounds, peak: Peak) -> None:
        self._ask, self._bounds, self._peak = ask, bounds, peak
        self._fails_certainly = True

    def run(self, confirmations: int) -> None:
        if not self._bracket():
            self._peak.status = PeakStatus.NONE_HOLDS
            return
        self._bisect()
        for _ in range(_MOST_STEPS_DOWN):
            if self._confirm(confirmations):
                certain = self._peak.fails_per_s is not None and self._fails_certainly
                self._peak.status = PeakStatus.FOUND if certain else PeakStatus.AT_LEAST
                return
            if not self._step_down():
                break
        self._peak.peak_per_s = None
        self._peak.status = PeakStatus.NOT_CONFIRMED

    def _bracket(self) -> bool:
        """Doubles or halves until one rate holds and one does not."""
        rate = self._bounds.start_per_s
        if self._try(rate):
            while rate < self._bounds.highest_per_s:
                rate = min(2 * rate, self._bounds.highest_per_s)
                if not self._try(rate):
                    break
            return True
        while rate > self._bounds.lowest_per_s:
            rate = max(rate / 2, self._bounds.lowest_per_s)
            if self._try(rate):
                return True
        return False

    def _bisect(self) -> None:
        """The geometric middle, as rates differ by factors."""
        while True:
            low, high = self._peak.peak_per_s, self._peak.fails_per_s
            if low is None or high is None or high <= low * (1 + self._bounds.resolution):
                return
            self._try(math.sqrt(low * high))

    def _confirm(self, times: int) -> bool:
        rate = self._peak.peak_per_s
        self._peak.confirmed = 0
        for _ in range(times):
            if rate is None or not self._try(rate, confirms=True):
                return False
            self._peak.confirmed += 1
        return True

    def _step_down(self) -> bool:
        """To the next lower rate, once the peak did not hold again."""
        failed = self._peak.fails_per_s
        if failed is None:
            return False
        rate = failed / (1 + self._bounds.resolution)
        if rate < self._bounds.lowest_per_s:
            return False
        self._peak.peak_per_s = rate
        return True

    def _try(self, rate: float, *, confirms: bool = False) -> bool:
        for _ in range(_MOST_TRIES):
            probe = self._ask(rate, confirms)
            self._peak.probes.append(probe)
            if probe.limit in {Limit.NOTHING, Limit.SERVER}:
                break
        if probe.holds:
            self._peak.peak_per_s = max(rate, self._peak.peak_per_s or 0.0)
            return True
        if self._peak.fails_per_s is None or rate <= self._peak.fails_per_s:
            self._peak.fails_per_s = rate
            self._fails_certainly = probe.limit is Limit.SERVER
        return False


def holding_and_failing(probes: Sequence[Probe]) -> tuple[list[Probe], list[Probe]]:
    """Both kinds, by rising rate."""
    ordered = sorted(probes, key=lambda probe: probe.rate_per_s)
    return [probe for probe in ordered if probe.holds], [probe for probe in ordered if not probe.holds]
