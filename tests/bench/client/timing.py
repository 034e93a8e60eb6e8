"""Two calls timed in turns, so that what else the machine does falls on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

_BLOCK_S = 0.05
_LEAST_CALLS = 3
_LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Pair:
    """What two calls took.

    Attributes:
        ours_ms: median over all calls.
        bare_ms: likewise.
        ratio: ours to bare, median over the rounds of the ratio of the round's medians.
        spread: the middle half of the rounds' ratios.
        rounds: how many there were.
    """

    ours_ms: float
    bare_ms: float
    ratio: float
    spread: tuple[float, float]
    rounds: int


def compare(ours: Callable[[], object], bare: Callable[[], object], seconds: float) -> Pair:
    """Times both in blocks of about 50 ms, in changing order, for ``seconds``."""
    counts = {call: _warm_up(call) for call in (ours, bare)}
    seen: dict[Callable[[], object], list[float]] = {ours: [], bare: []}
    ratios: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(ratios) < _LEAST_ROUNDS:
        order = (ours, bare) if len(ratios) % 2 else (bare, ours)
        blocks = {call: [_time_ms(call) for _ in range(counts[call])] for call in order}
        for call, times_ms in blocks.items():
            seen[call] += times_ms
        ratios.append(median(blocks[ours]) / median(blocks[bare]))
    ordered = sorted(ratios)
    spread = ordered[len(ordered) // 4], ordered[3 * len(ordered) // 4]
    return Pair(median(seen[ours]), median(seen[bare]), median(ratios), spread, len(ratios))


def _warm_up(call: Callable[[], object]) -> int:
    """How many calls make a block."""
    for _ in range(_LEAST_CALLS):
        call()
    took_ms = median(_time_ms(call) for _ in range(_LEAST_CALLS))
    return max(_LEAST_CALLS, int(1e3 * _BLOCK_S / took_ms))


def _time_ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - started)
