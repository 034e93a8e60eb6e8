"""The plan of an open loop: which request is sent at which moment, and which answers are compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maas_loadtest.arrivals import Moments

Choice = npt.NDArray[np.int32]
Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Schedule:
    """Fixed before the first request; three arrays of one length.

    Attributes:
        at_ns: when, in nanoseconds from the beginning, ascending.
        request: which of the prepared requests.
        checked: whether its answer is compared.
        duration_s: how long it was planned to last; the last request may come before its end.
    """

    at_ns: Moments
    request: Choice
    checked: Marks
    duration_s: float

    @property
    def sha256(self) -> str:
        """Over the moments, the choices and the marks as little-endian arrays; equal plans have equal digests."""
        digest = hashlib.sha256()
        for array, dtype in ((self.at_ns, "<i8"), (self.request, "<i4"), (self.checked, "|b1")):
            digest.update(array.astype(dtype).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.at_ns)

    def part(self, index: int, count: int) -> Schedule:
        """What one of ``count`` workers sends: every ``count``-th request."""
        return Schedule(
            self.at_ns[index::count], self.request[index::count], self.checked[index::count], self.duration_s
        )


def choose(rng: np.random.Generator, count: int, weights: npt.NDArray[np.float64]) -> Choice:
    """Which prepared request each one is: drawn by weight."""
    return rng.choice(len(weights), size=count, p=weights / weights.sum()).astype(np.int32)


def mark(rng: np.random.Generator, count: int, share: float) -> Marks:
    """Which answers are compared: drawn, but at least one of them where any shall be."""
    marks: Marks = rng.random(count) < share
    if share > 0 and count and not marks.any():
        marks[int(rng.integers(count))] = True
    return marks
