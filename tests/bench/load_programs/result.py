"""What a load generator found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One run of a generator in a closed loop.

    Attributes:
        rate: answered requests per second.
        p50_ms: median latency.
        p99_ms: 99th percentile.
        errors: requests that failed, timed out, or were answered with an error status.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
