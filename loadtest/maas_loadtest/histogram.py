"""Latencies as HdrHistograms of microseconds: three significant digits from 1 µs to 1 h.

Values are counted with numpy, a second's worth at a time, and travel as pairs of (index, count): recording one by one
in Python would cost as much as sending the request. The index is HdrHistogram's own (``get_counts_array_index``), so
that what comes out is an ordinary HdrHistogram.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from maas_loadtest.early_stopping import samples_needed
from maas_loadtest.report_model import Latency, Percentile

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
DIGITS = 3
PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
_SUB_BUCKET_BITS = 11
"""2,048 sub-buckets are the power of two that gives three digits."""
_HALF_BITS = _SUB_BUCKET_BITS - 1
_ROUNDING = 1e-6
"""99.9 % of 1,000 are 999, though the floating-point product is a little more."""

Ints = npt.NDArray[np.int64]
Sparse = list[list[int]]
"""Two lists of one length: indices and counts."""


def new_histogram() -> Any:
    """An empty one."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


def decode(text: str) -> Any:
    """The histogram of a report; an empty one for an empty text."""
    return HdrHistogram.decode(text) if text else new_histogram()


def sparse(values_us: Iterable[int] | Ints) -> Sparse:
    """The counts of some values."""
    values = np.clip(np.asarray(values_us, np.int64), LOWEST_US, HIGHEST_US)
    # frexp gives the bit length of every number below 2**53.
    bits = np.maximum(np.frexp(values.astype(np.float64))[1], _SUB_BUCKET_BITS)
    bucket = (bits - _SUB_BUCKET_BITS).astype(np.int64)
    index = ((bucket + 1) << _HALF_BITS) + (values >> bucket) - (1 << _HALF_BITS)
    indices, counts = np.unique(index, return_counts=True)
    return [indices.tolist(), counts.tolist()]


def bucket_ms(latency_ms: float) -> float:
    """The largest value that the histogram does not tell from this one; in place of Locust's rounding to 2 digits."""
    value = max(LOWEST_US, int(latency_ms * 1000))
    shift = max(0, value.bit_length() - _SUB_BUCKET_BITS)
    return (((value >> shift) + 1 << shift) - 1) / 1000


def rank(percent: float, total: int) -> int:
    """Which of so many sorted values is the percentile: the first one that ``percent`` of them do not exceed, from 1.

    Rounded up (nearest rank), so that of a limit which the percentile keeps at least ``percent`` keep it.
    """
    return max(1, math.ceil(percent * total / 100 - _ROUNDING))


def highest_values(index: Ints) -> Ints:
    """The largest value that is counted at each place, HdrHistogram's ``get_highest_equivalent_value``.

    The first 2,048 values have a place each; from there on, each power of two has 1,024.
    """
    bucket = np.maximum((index >> _HALF_BITS) - 1, 0)
    first = index - (bucket << _HALF_BITS)
    values: Ints = (first + 1 << bucket) - 1
    return values


class Counts:
    """A histogram that grows by sparse counts."""

    def __init__(self) -> None:
        # A dense array has 24,000 places, most of which stay empty, and a long run has a thousand histograms.
        self._counts: Counter[int] = Counter()

    def add(self, part: Sparse) -> None:
        """Merges what a worker saw."""
        for index, count in zip(*part, strict=True):
            self._counts[index] += count

    def merge(self, other: Counts) -> None:
        """Adds another one."""
        self._counts.update(other._counts)

    @property
    def total(self) -> int:
        """How many values."""
        return self._counts.total()

    def histogram(self) -> Any:
        """The same as an HdrHistogram."""
        result = new_histogram()
        for index, count in self._counts.items():
            result.record_value(result.get_value_from_index(index), count)
        return result

    def above(self, limit_us: int) -> int:
        """How many values are larger, to the histogram's resolution."""
        places = np.fromiter(self._counts.keys(), np.int64, len(self._counts))
        counts = np.fromiter(self._counts.values(), np.int64, len(self._counts))
        return int(counts[highest_values(places) > limit_us].sum())

    def encode(self) -> str:
        """HdrHistogram's base64 format V2, "" where it is empty."""
        return encode(self.histogram()) if self.total else ""

    def percentile(self, percent: float) -> int | None:
        """In microseconds, None of nothing."""
        return self.percentile_with_failures(percent, 0)

    def percentile_with_failures(self, percent: float, failures: int) -> int | None:
        """Where so many further requests had no good answer: each of them is slower than any limit. None is no answer.

        HdrHistogram would go through all 24,000 places, and the generator waits meanwhile.
        """
        wanted = rank(percent, self.total + failures)
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            if seen >= wanted:
                return int(highest_values(np.array(index)))
        return None


def merged_counts(parts: Iterable[Counts]) -> Counts:
    """Several histograms as one."""
    result = Counts()
    for part in parts:
        result.merge(part)
    return result


def encode(histogram: Any) -> str:
    """HdrHistogram's base64 format V2."""
    text: bytes = histogram.encode()
    return text.decode("ascii")


def latency_of(counts: Counts, percents: Sequence[float] = PERCENTS) -> Latency:
    """The distribution as it stands in a report."""
    histogram = counts.histogram()
    total = int(histogram.total_count)
    return Latency(
        count=total,
        mean_us=float(histogram.get_mean_value()) if total else 0.0,
        min_us=int(histogram.get_min_value()) if total else 0,
        max_us=int(histogram.get_max_value()) if total else 0,
        percentiles=tuple(
            Percentile(
                percent=percent,
                latency_us=counts.percentile(percent),
                samples_needed=samples_needed(percent),
                supported=total >= samples_needed(percent),
            )
            for percent in percents
        ),
        histogram=encode(histogram) if total else "",
    )
