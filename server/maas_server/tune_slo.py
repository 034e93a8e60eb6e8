"""The objective that tuning searches against: limits on latency percentiles, as a user types them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maas_core.errors import WrongUse
from maas_core.service_level import parse_service_level

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}


@dataclass(frozen=True)
class LatencyObjective:
    """Upper limits in milliseconds, by percentile; all must hold, and no request may fail."""

    limits_ms: Mapping[str, float]

    def __str__(self) -> str:
        return ",".join(f"{name}={limit:g}ms" for name, limit in self.limits_ms.items())

    def holds(self, latency_ms: Mapping[str, float]) -> bool:
        """Whether the percentiles of a measurement keep within every limit."""
        return all(latency_ms[name] <= limit for name, limit in self.limits_ms.items())


def parse_objective(text: str) -> LatencyObjective:
    """Reads ``p99=20ms`` or several such conditions with commas between them.

    Raises:
        WrongUse: where it is not of that form.
    """
    limits_ms = parse_service_level(text).limits_ms
    if not limits_ms or not limits_ms.keys() <= PERCENTILES.keys():
        raise WrongUse(
            f"{text.strip()!r} is not an objective of tuning",
            f"give a percentile ({', '.join(PERCENTILES)}) and a time (us, ms, s), e.g. p99=20ms",
        )
    return LatencyObjective(limits_ms)
