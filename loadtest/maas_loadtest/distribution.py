"""Histograms of a report as arrays: percentiles, shares and sums, without walking them value by value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from maas_loadtest import histogram

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Distribution:
    """How often each latency came.

    Attributes:
        values_us: [V], rising: the highest latency that the histogram does not tell from what was recorded.
        counts: [V], each at least 1.
    """

    values_us: Ints
    counts: Ints

    @property
    def total(self) -> int:
        """How many latencies there are."""
        return int(self.counts.sum())

    def percentile_us(self, percent: float) -> float | None:
        """The smallest latency that ``percent`` of the requests do not exceed; None where there are none."""
        if not self.total:
            return None
        return float(self.values_us[np.searchsorted(np.cumsum(self.counts), histogram.rank(percent, self.total))])

    def binned(self, edges_us: npt.NDArray[np.float64]) -> Ints:
        """How many requests fall between neighbouring edges, [E - 1]."""
        return np.histogram(self.values_us, edges_us, weights=self.counts)[0].astype(np.int64)


def read_distribution(text: str) -> Distribution:
    """Reads HdrHistogram's base64 form V2; an empty text is a distribution of nothing."""
    if not text:
        return Distribution(np.zeros(0, np.int64), np.zeros(0, np.int64))
    read: Any = histogram.decode(text)
    counts = np.frombuffer(read.counts, np.int64)
    used = np.flatnonzero(counts)
    return Distribution(histogram.highest_values(used.astype(np.int64)), counts[used])


def merged(parts: Iterable[Distribution]) -> Distribution:
    """All of them together."""
    return reduce(_add, parts, read_distribution(""))


def _add(one: Distribution, other: Distribution) -> Distribution:
    values, index = np.unique(np.concatenate([one.values_us, other.values_us]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, index, np.concatenate([one.counts, other.counts]))
    return Distribution(values, counts)
