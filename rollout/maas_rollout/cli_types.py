"""Types of options that several commands share."""

from __future__ import annotations

import re
from typing import Any

import click

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_SECONDS_OF = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}


class Duration(click.ParamType[float]):
    """Seconds, written as ``30s``, ``500ms``, ``2m``, ``1h`` or a bare number."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See :class:`click.ParamType`."""
        if isinstance(value, float):
            return value
        found = _SECONDS.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is not a time, e.g. 30s, 500ms, 2m", param, ctx)
        return float(found[1]) * _SECONDS_OF[found[2]]


class Weights(click.ParamType[tuple[int, ...]]):
    """Per cents with commas between them, ``5,25,50,100``."""

    name = "percents"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """See :class:`click.ParamType`."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} are not per cents, e.g. 5,25,50,100", param, ctx)


class Differences(click.ParamType[float | None]):
    """A share, written as ``5%``; ``any`` is none that is too many."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """See :class:`click.ParamType`."""
        text = str(value).strip()
        if text == "any":
            return None
        try:
            share = float(text.removesuffix("%")) / 100
        except ValueError:
            share = 0.0
        if not text.endswith("%") or not 0 < share < 1:
            self.fail(f"{value!r} is not a share above 0% and below 100%, e.g. 5%, nor `any`", param, ctx)
        return share


DIFFERENCES = Differences()
DURATION = Duration()
WEIGHTS = Weights()
