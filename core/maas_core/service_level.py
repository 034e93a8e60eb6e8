"""A service-level objective as people write it: ``p99=20ms,errors=0.1%``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from maas_core.errors import WrongUse

_MS_OF = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_LATENCY = re.compile(r"((?:(?:first|between)_)?p\d{1,2}(?:\.\d{1,4})?)\s*(?:<=|<|=)\s*(\d+(?:\.\d+)?)\s*(us|ms|s)")
_ERRORS = re.compile(r"errors\s*(?:<=|<|=)\s*(\d+(?:\.\d+)?)\s*(%?)")
_MEND = "give a percentile and a time (us, ms, s) or a share of errors, e.g. p99=20ms,errors=0.1%"


@dataclass(frozen=True)
class ServiceLevel:
    """What must hold.

    Attributes:
        limits_ms: upper limits by percentile: ``p99``, ``p99.9``; of streams ``first_p99`` (time to the first answer)
            and ``between_p99`` (time between two answers).
        error_rate: the share of requests, 0 to 1, that may fail; None where nothing is said about it.
    """

    limits_ms: Mapping[str, float]
    error_rate: float | None = None

    def __str__(self) -> str:
        conditions = [f"{name}={limit:g}ms" for name, limit in self.limits_ms.items()]
        conditions += [f"errors={self.error_rate * 100:g}%"] if self.error_rate is not None else []
        return ",".join(conditions)


def percent_of(name: str) -> float:
    """The number in a percentile's name: 99.9 of ``p99.9`` and of ``first_p99.9``."""
    return float(name.rpartition("p")[2])


def parse_service_level(text: str) -> ServiceLevel:
    """Reads conditions with commas between them.

    Raises:
        WrongUse: where one is not of that form.
    """
    limits: dict[str, float] = {}
    error_rate: float | None = None
    for part in (part.strip() for part in text.split(",")):
        latency, errors = _LATENCY.fullmatch(part), _ERRORS.fullmatch(part)
        if latency is not None and float(latency[2]) > 0 and percent_of(latency[1]) > 0:
            limits[latency[1]] = float(latency[2]) * _MS_OF[latency[3]]
        elif errors is not None and (rate := float(errors[1]) / (100 if errors[2] else 1)) <= 1:
            error_rate = rate
        else:
            raise WrongUse(f"{part!r} is not an objective", _MEND)
    return ServiceLevel(limits, error_rate)
