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
        # As HdrHistogram counts: at least one request, and half a request rounds up.
        rank = max(1, int(percent * self.total / 100 + 0.5))
        return float(self.values_us[np.searchsorted(np.cumsum(self.counts), rank)])

    def share_above(self, limit_us: float) -> float:
        """The share of the requests, 0 to 1, that took longer."""
        return float(self.counts[self.values_us > limit_us].sum() / self.total) if self.total else 0.0

    def binned(self, edges_us: npt.NDArray[np.float64]) -> Ints:
        """How many requests fall between neighbouring edges, [E - 1]."""
        return np.histogram(self.values_us, edges_us, weights=self.counts)[0].astype(np.int64)


def decode(text: str) -> Distribution:
    """Reads HdrHistogram's base64 form V2; an empty text is a distribution of nothing."""
    if not text:
        return Distribution(np.zeros(0, np.int64), np.zeros(0, np.int64))
    read: Any = histogram.decode(text)
    counts = np.frombuffer(read.counts, np.int64)
    used = np.flatnonzero(counts)
    return Distribution(_highest_values(used.astype(np.int64)), counts[used])


def _highest_values(index: Ints) -> Ints:
    """HdrHistogram's ``get_highest_equivalent_value(get_value_from_index(...))``, of many at a time.

    The first 2,048 values have an index each; from there on, each power of two has 1,024.
    """
    half_bits = 10
    bucket = np.maximum((index >> half_bits) - 1, 0)
    sub_bucket = index - (bucket << half_bits)
    values: Ints = (sub_bucket + 1 << bucket) - 1
    return values


def merged(parts: Iterable[Distribution]) -> Distribution:
    """All of them together."""
    return reduce(_add, parts, decode(""))


def _add(one: Distribution, other: Distribution) -> Distribution:
    values, index = np.unique(np.concatenate([one.values_us, other.values_us]), return_inverse=True)
    counts = np.zeros(len(values), np.int64)
    np.add.at(counts, index, np.concatenate([one.counts, other.counts]))
    return Distribution(values, counts)
