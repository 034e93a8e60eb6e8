"""Numbers as people read them: a unit, and as many digits as mean something."""

from __future__ import annotations

import math

_LATENCY_UNITS = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))
_SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def latency(value_us: float | None) -> str:
    """Microseconds in the unit that suits: "850 µs", "1.25 ms", "1.2 s"; a dash for None."""
    if value_us is None:
        return "–"
    scale, unit = next((one for one in _LATENCY_UNITS if abs(value_us) >= one[0]), _LATENCY_UNITS[-1])
    return f"{significant(value_us / scale)} {unit}"


def rate(value: float | None) -> str:
    """Per second, without the unit: "1,204" or "18.5"."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else significant(value)


def share(value: float) -> str:
    """0 to 1 as percent: "99.8 %", "0.05 %"."""
    return f"{significant(100 * value)} %"


def size(value_bytes: float) -> str:
    """In binary units."""
    for scale, unit in _SIZES:
        if value_bytes >= scale:
            return f"{significant(value_bytes / scale)} {unit}"
    return f"{value_bytes:,.0f} B"


def significant(value: float, digits: int = 3) -> str:
    """So many significant digits, without an exponent and without trailing zeros behind the point."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent_name(percent: float) -> str:
    """The usual name of a percentile: p50, p99.9."""
    return f"p{percent:g}"
