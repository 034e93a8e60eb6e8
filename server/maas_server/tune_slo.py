"""The objective that tuning searches against: limits on latency percentiles, as a user types them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from maas_core.errors import WrongUse

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}
_MS_OF = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_CONDITION = re.compile(r"(p\d+)\s*(?:<=|<|=)\s*(\d+(?:\.\d+)?)\s*(us|ms|s)")


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
    limits: dict[str, float] = {}
    for part in text.split(","):
        found = _CONDITION.fullmatch(part.strip())
        if found is None or found[1] not in PERCENTILES or float(found[2]) == 0:
            raise WrongUse(
                f"{part.strip()!r} is not an objective",
                f"give a percentile ({', '.join(PERCENTILES)}) and a time (us, ms, s), e.g. p99=20ms",
            )
        limits[found[1]] = float(found[2]) * _MS_OF[found[3]]
    return LatencyObjective(limits)
