"""What both servers did in each of the last seconds, from the metering lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maas_rollout.gates.metering import MeteringReader, Request, Side

LENGTH_S = 180
_SIDES: tuple[Side, ...] = ("stable", "candidate")
_LAG_S = 1


class Curves:
    """Median and 99th percentile in milliseconds, requests and failures, second by second.

    Args:
        gateway_state: the gateway's state folder.
        model: the name that people call.
        now_s: the wall clock.
    """

    def __init__(self, gateway_state: Path, model: str, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._reader = MeteringReader(gateway_state / "usage", model, now_s() - LENGTH_S)
        self._requests: list[Request] = []

    def take(self) -> dict[str, Any]:
        """The last three minutes; ``None`` where there was no request in a second.

        Returns:
            ``from_s`` (seconds since the epoch) and, for each server, lists of ``p50_ms``, ``p99_ms``, ``requests`` and
            ``failed``, a place for each second.
        """
        last_s = int(self._now_s()) - _LAG_S
        first_s = last_s - LENGTH_S
        self._requests = [r for r in [*self._requests, *self._reader.new()] if r.at_s >= first_s]
        cells: dict[Side, list[list[Request]]] = {side: [[] for _ in range(LENGTH_S)] for side in _SIDES}
        for request in self._requests:
            place = int(request.at_s) - first_s
            if 0 <= place < LENGTH_S:
                cells[request.side][place].append(request)
        return {"from_s": first_s, **{side: _figures(cells[side]) for side in _SIDES}}


def _figures(cells: Sequence[Sequence[Request]]) -> dict[str, list[Any]]:
    good = [[request.latency_ms for request in cell if not request.failed] for cell in cells]
    return {
        "p50_ms": [_quantile(values, 0.5) for values in good],
        "p99_ms": [_quantile(values, 0.99) for values in good],
        "requests": [len(cell) for cell in cells],
        "failed": [sum(request.failed for request in cell) for cell in cells],
    }


def _quantile(values: Sequence[float], quantile: float) -> float | None:
    return round(float(np.quantile(values, quantile)), 3) if values else None
