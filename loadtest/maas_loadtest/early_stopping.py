"""How many answers a claim about a percentile needs: the early stopping of MLPerf's LoadGen.

Source: MLPerf inference rules, "Early Stopping" (the table there: 64 queries for p90, 662 for p99, 6,636 for p99.9).
That is the least number with which a claim can be made at all: if no more than one of so many is slower, the claim is
wrong with a probability of at most 1 %. Where more are slower LoadGen asks for more; an objective is judged here by the
measured percentile, so that the number is a minimum and no confidence in what comes out close to its limit.
"""

from __future__ import annotations

import math
from functools import cache

CONFIDENCE = 0.99
_SLOWER_ONES = 1


@cache
def samples_needed(percent: float) -> int:
    """The smallest n for which ``P(Binomial(n, 1 - p) <= 1) <= 1 %``."""
    lower, upper = 1, 2
    while _probability(upper, percent) > 1 - CONFIDENCE:
        lower, upper = upper, 2 * upper
    while lower + 1 < upper:
        middle = (lower + upper) // 2
        if _probability(middle, percent) > 1 - CONFIDENCE:
            lower = middle
        else:
            upper = middle
    return upper


def _probability(n: int, percent: float) -> float:
    """That at most one of n answers is slower, if the true share of faster ones is no more than ``percent``."""
    faster = percent / 100
    slower = 1 - faster
    return math.exp(n * math.log(faster)) + n * slower * math.exp((n - _SLOWER_ONES) * math.log(faster))
