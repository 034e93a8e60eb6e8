"""How much was answered, in all and part by part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maas_loadtest.histogram import merged_counts
from maas_loadtest.job import Job
from maas_loadtest.tally import Tally

PARTS = 5
_AFTER_END = 60
"""Windows after the last request in which answers may still come."""
_SIGMAS = 3.0
"""Of a count of independent answers, its square root is one."""


@dataclass(frozen=True)
class Part:
    """Throughput of a part of the run: requests per second, in an open loop by what was due.

    Attributes:
        slack: so far it may be from the mean by the few requests that lie on its borders, as a share.
    """

    throughput: float
    slack: float


def throughput_parts(tally: Tally, job: Job, window_s: float) -> list[Part]:
    """Equal parts of the run.

    In an open loop the borders of what was answered are those of what was due, later by the median response time.
    """
    whole = int(job.duration_s / window_s)
    if whole < PARTS:
        return []
    numbers = range(whole + _AFTER_END)
    times_s = np.arange(whole + _AFTER_END + 1) * window_s
    completed = np.cumsum([0, *(tally.windows[number].counts["completed"] for number in numbers)])
    offered = np.cumsum([0, *(tally.windows[number].counts["offered"] for number in numbers)])
    borders_s = np.linspace(0.0, whole * window_s, PARTS + 1)
    if job.schedule is None:
        answers = np.diff(np.interp(borders_s, times_s, completed))
        return [Part(float(one), _SIGMAS / max(1.0, float(one)) ** 0.5) for one in answers]
    response = merged_counts(window.response for window in tally.windows.values())
    shift_s = (response.percentile(50) or 0) / 1e6
    # What is between the two percentiles falls on the one or the other side of a border.
    spread_s = ((response.percentile(99) or 0) - (response.percentile(1) or 0)) / 1e6
    done = np.diff(np.interp(borders_s + shift_s, times_s, completed))
    due = np.diff(np.interp(borders_s, times_s, offered))
    slack = 2 * (1 + window_s + spread_s * due.mean() * PARTS / (whole * window_s))
    return [Part(float(a / max(1.0, b)), float(slack / max(1.0, b))) for a, b in zip(done, due, strict=True)]


def closed_rate(tally: Tally, duration_s: float, window_s: float) -> float:
    """Answers per second within the measured time: the last ones of a closed loop come after it."""
    whole = int(duration_s / window_s + 1e-9)
    if not whole:
        return sum(window.counts["completed"] for window in tally.windows.values()) / max(duration_s, 1e-9)
    return sum(tally.windows[number].counts["completed"] for number in range(whole)) / (whole * window_s)
