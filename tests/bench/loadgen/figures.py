"""What any of the tools found, in one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Found:
    """One run of one tool.

    Attributes:
        tool: its name.
        rate_per_s: answered requests per second.
        seconds: for how long it counted.
        answers: how many there were.
        p50_ms: latency as the tool counts it.
        p99_ms: likewise.
        p999_ms: likewise.
        cpu_percent: of one core, where the tool tells it.
        server_ms: mean time of a request inside the server, where the tool tells it.
    """

    tool: str
    rate_per_s: float
    seconds: float
    answers: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    cpu_percent: float | None = None
    server_ms: float | None = None


def of_latencies(tool: str, latencies_ms: Sequence[float], seconds: float) -> Found:
    """From every single latency; percentiles are latencies that occurred, as HdrHistogram has them."""
    p50, p99, p999 = np.percentile(latencies_ms, [50, 99, 99.9], method="inverted_cdf")
    return Found(tool, len(latencies_ms) / seconds, seconds, len(latencies_ms), float(p50), float(p99), float(p999))
