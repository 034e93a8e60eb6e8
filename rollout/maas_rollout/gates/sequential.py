"""A sequential test that may be looked at all the time: is the candidate's part of some requests larger than its share?

Mark some requests of one block of time: those that failed, or the slowest tenth. If the two servers are alike, each
marked request is the candidate's with the probability of its share ``w`` of all requests of that block, whatever
happens to both at once. Against "its odds are ``r`` times as high" a block with ``c`` marked requests of the candidate
and ``s`` of the stable has the likelihood ratio ``r^c / (w r + 1 - w)^(c + s)``. The product over blocks is a
martingale that starts at 1 where the two are alike, so it ever reaches ``1 / alpha`` with a probability of at most
``alpha``, however often one looks (Ville's inequality). Conditioning on the marked requests is due to Lindon and Malek,
"Anytime-Valid Inference for Multinomial Count Data" (2022); drawing without replacement only makes the bound safer
(Hoeffding 1963).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LARGER = (3.0, 10.0, 30.0, 100.0)
SMALLER = (0.5, 0.2, 0.05)
_LOG_LARGEST = 600.0
"""Evidence is shown and compared, not multiplied: e^600 stands for all that is larger."""


@dataclass(frozen=True)
class Marked:
    """The marked requests of one stratum (alike in protocol and size) of one block.

    Attributes:
        candidate: marked requests of the candidate.
        stable: marked requests of the stable.
        share: the candidate's share of all requests of the stratum, between 0 and 1, both excluded.
    """

    candidate: int
    stable: int
    share: float


class ShareTest:
    """Evidence that the candidate's odds of being marked are higher (``ratios`` above 1) or lower (below 1) than equal.

    Args:
        ratios: the odds ratios that the evidence is spread over, all above or all below 1.
        most_per_block: what one block may multiply the evidence by. Requests of one moment are not independent: a pause
            of one process marks all of them. Cutting a factor keeps the bound.
        restart_every: begin a further test after so many blocks, so that what goes wrong late is not outweighed by a
            good beginning; the j-th gets the part ``1 / (j (j + 1))`` of the evidence: these sum to 1. 0: never.
    """

    def __init__(self, ratios: Sequence[float], *, most_per_block: float, restart_every: int = 0) -> None:
        self._ratios = np.array(ratios)
        self._log_most = math.log(most_per_block)
        self._restart_every = restart_every
        self._blocks = 0
        self._logs: npt.NDArray[np.float64] = np.zeros((1, len(self._ratios)))
        self.peak = 1.0
        """The highest value so far: the bound holds for it, too."""

    @property
    def value(self) -> float:
        """The evidence now; 1 is none, ``1 / alpha`` refutes equality at the level ``alpha``."""
        places = np.arange(1, len(self._logs) + 1)
        parts = 1.0 / (places * (places + 1.0)) if self._restart_every else np.ones(1)
        return float(parts @ np.exp(np.minimum(self._logs, _LOG_LARGEST)).mean(axis=1))

    def add(self, strata: Sequence[Marked], moments: float = 1.0) -> None:
        """Adds one block of time, which may weigh as much as so many blocks of the usual length."""
        if self._restart_every and self._blocks and self._blocks % self._restart_every == 0:
            self._logs = np.vstack([self._logs, np.zeros(len(self._ratios))])
        self._blocks += 1
        factor = np.zeros(len(self._ratios))
        for stratum in strata:
            total = stratum.candidate + stratum.stable
            factor += stratum.candidate * np.log(self._ratios)
            factor -= total * np.log1p(stratum.share * (self._ratios - 1))
        self._logs = self._logs + np.minimum(factor, moments * self._log_most)
        self.peak = max(self.peak, self.value)


def rate_evidence(events: int, requests: int, *, limit: float, against: float) -> float:
    """The likelihood ratio of the rate ``against`` to the rate ``limit``; ``1 / alpha`` refutes the limit at ``alpha``.

    Args:
        events: what was counted.
        requests: among how many.
        limit: the rate to refute.
        against: the rate that the evidence is for: below ``limit`` to show that the true one is lower, or above it.
    """
    log = events * math.log(against / limit) + (requests - events) * math.log((1 - against) / (1 - limit))
    return math.exp(min(log, _LOG_LARGEST))
