"""When requests arrive: all moments are fixed before the first one is sent.

A rate that changes (ramp, spike) is a list of stages. Arrivals are drawn at rate one and then stretched by the inverse
of the cumulated rate (Çinlar, "Introduction to Stochastic Processes", 4.7), so that each kind works with any stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from maas_core.errors import WrongUse

Kind = Literal["poisson", "constant", "gamma"]
KINDS: tuple[Kind, ...] = ("poisson", "constant", "gamma")
MAX_REQUESTS = 5_000_000
"""More do not fit into a schedule that is made beforehand and sent to the workers (13 bytes each)."""
_NS = 1_000_000_000

Moments = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """A constant rate for some time."""

    duration_s: float
    rate_per_s: float


def planned_requests(stages: Sequence[Stage]) -> float:
    """How many requests the stages hold on average."""
    return sum(stage.duration_s * stage.rate_per_s for stage in stages)


def arrivals(kind: Kind, stages: Sequence[Stage], rng: np.random.Generator, *, burstiness: float = 4.0) -> Moments:
    """The moments, in nanoseconds from the beginning, ascending.

    Args:
        kind: ``poisson`` (independent callers), ``constant`` (equal distances), ``gamma`` (bursts).
        stages: one after the other.
        rng: where the draws come from.
        burstiness: of ``gamma``: the squared coefficient of variation of the distances; 1 is Poisson.

    Raises:
        WrongUse: the stages hold no request, or more than a schedule can.
    """
    total = planned_requests(stages)
    if not 1 <= total <= MAX_REQUESTS:
        raise WrongUse(
            f"the schedule has {total:.4g} requests, wanted 1 to {MAX_REQUESTS:,}", "change --rate or --duration"
        )
    at = _at_rate_one(kind, total, rng, burstiness)
    ends_s = np.cumsum([0.0, *(stage.duration_s for stage in stages)])
    ends = np.cumsum([0.0, *(stage.duration_s * stage.rate_per_s for stage in stages)])
    # Where the rate is 0 two abscissae are equal: interp takes the later one, and no request falls in between.
    moments_s = np.interp(at[at < total], ends, ends_s)
    moments: Moments = np.round(moments_s * _NS).astype(np.int64)
    return moments


def _at_rate_one(kind: Kind, total: float, rng: np.random.Generator, burstiness: float) -> npt.NDArray[np.float64]:
    if kind == "constant":
        return np.arange(0, total, dtype=np.float64)
    # Six standard deviations more than the mean: the last one lies behind the end.
    spread = burstiness if kind == "gamma" else 1.0
    count = int(total + 6 * np.sqrt(total * spread) + 20 * spread)
    gaps = rng.exponential(1.0, count) if kind == "poisson" else rng.gamma(1 / spread, spread, count)
    return np.cumsum(gaps)
