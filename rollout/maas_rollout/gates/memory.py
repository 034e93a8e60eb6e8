"""The gate on memory: a candidate that keeps growing is not put in front of anybody."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import psutil

from maas_rollout.gates.comparing import rounded
from maas_rollout.gates.settings import GateSettings
from maas_rollout.ports import Address, Judgement

_LEAST_SAMPLES = 8
_PARTS = 4
_SHARE_PER_PART = 0.05
_LARGE_SHARE = 0.25
"""A large model may let its server grow by this part of the stable's size before the growth is called large."""
_MB = 1e6


def resident_bytes(triton_pid: int) -> int | None:
    """Memory of the server and its stubs; ``None`` where it does not run."""
    try:
        server = psutil.Process(triton_pid)
        total = server.memory_info().rss
        children = server.children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    for child in children:
        # A stub may be replaced between the two looks.
        with contextlib.suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return int(total)


@dataclass
class History:
    """What one server process held since it was first looked at.

    Attributes:
        began_s: when that was, by the clock of the gate.
        samples: bytes, after warm-up.
    """

    began_s: float
    samples: list[int] = field(default_factory=list)


_HISTORIES: dict[int, History] = {}
"""By process id. A leak may be slower than one step of a rollout, and each step has its own gates."""


class MemoryGate:
    """Tells a leak from a warm-up: what has grown much *and* has kept growing in every part of the later half.

    Args:
        stable: asks for the stable server's address: its size says what is usual.
        candidate: likewise the candidate's.
        settings: the limits.
        measure: bytes of a server by its process id.
        monotonic_s: for the time between samples.
        histories: what is known of each process; by default what this process has seen.
    """

    name = "memory"

    def __init__(
        self,
        stable: Callable[[], Address | None],
        candidate: Callable[[], Address | None],
        settings: GateSettings,
        measure: Callable[[int], int | None] = resident_bytes,
        monotonic_s: Callable[[], float] = time.monotonic,
        histories: dict[int, History] | None = None,
    ) -> None:
        self._stable = stable
        self._candidate = candidate
        self._settings = settings
        self._measure = measure
        self._monotonic_s = monotonic_s
        self._histories = _HISTORIES if histories is None else histories

    def judge(self, model: str, since: datetime) -> Judgement:
        """See :class:`maas_rollout.ports.Gate`."""
        address = self._candidate()
        size = self._measure(address.triton_pid) if address is not None else None
        if address is None or size is None:
            return Judgement("hold", ["the candidate's memory cannot be read: it does not run"])
        now_s = self._monotonic_s()
        history = self._histories.setdefault(address.triton_pid, History(now_s))
        if now_s - history.began_s >= self._settings.warm_up_s:
            history.samples.append(size)
        stable = self._stable()
        return judge_samples(history.samples, self._settings, self._measure(stable.triton_pid) if stable else None)


def judge_samples(samples: Sequence[int], settings: GateSettings, stable_bytes: int | None) -> Judgement:
    """Judges resident bytes, taken at even times after warm-up; ``stable_bytes`` is what the stable server has now."""
    if len(samples) < _LEAST_SAMPLES:
        return Judgement("hold", [f"memory was looked at {len(samples)} of at least {_LEAST_SAMPLES} times"])
    first, last = float(np.median(samples[:3])), float(np.median(samples[-3:]))
    growth = last - first
    # A candidate that leaks may be large already when it is first looked at.
    limit = max(settings.max_growth_mb * _MB, _LARGE_SHARE * min(first, stable_bytes or first))
    growing = _keeps_growing(samples, growth)
    evidence = {
        "first_mb": rounded(first / _MB),
        "last_mb": rounded(last / _MB),
        "max_growth_mb": rounded(limit / _MB),
        "keeps_growing": growing,
        "samples": len(samples),
    }
    words = f"the candidate's memory went from {first / _MB:,.0f} to {last / _MB:,.0f} MB"
    if not growing or growth < limit / 2:
        return Judgement("go", [words], evidence)
    if growth < limit:
        return Judgement("hold", [f"{words} and is growing: back from {limit / _MB:,.0f} MB more"], evidence)
    return Judgement("back", [f"{words} and keeps growing: it leaks"], evidence)


def _keeps_growing(samples: Sequence[int], growth: float) -> bool:
    """Whether each quarter of the later half lies clearly above the one before; one step up is no leak."""
    later = np.array_split(np.array(samples[len(samples) // 2 :], dtype=np.float64), _PARTS)
    medians = np.array([np.median(part) for part in later])
    return growth > 0 and bool((np.diff(medians) > _SHARE_PER_PART * growth).all())
