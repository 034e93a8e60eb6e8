"""How long two graphs take for the same inputs, asked in turn, so that what else the machine does meets both."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from maas_core.golden import Sample
from maas_core.manifest import SpeedEntry
from maas_export.formats.session_module import open_session

_MOST_ROUNDS = 100
_LONGEST_S = 2.0


def side_by_side(fp32: Path, int8: Path, samples: list[Sample]) -> tuple[SpeedEntry, ...]:
    """The median times of the smallest and the largest of the samples, one thread each."""
    sessions = (open_session(fp32, threads=1), open_session(int8, threads=1))
    sized = sorted(samples, key=_batch_size)
    chosen = {_batch_size(sample): sample for sample in (sized[0], sized[-1])}
    entries = []
    for batch_size, sample in chosen.items():
        took_ms: tuple[list[float], list[float]] = ([], [])
        for session in sessions:
            session.run(None, sample.inputs)
        end = time.monotonic() + _LONGEST_S
        while not took_ms[1] or (len(took_ms[1]) < _MOST_ROUNDS and time.monotonic() < end):
            for session, times in zip(sessions, took_ms, strict=True):
                started = time.perf_counter()
                session.run(None, sample.inputs)
                times.append((time.perf_counter() - started) * 1e3)
        fp32_p50, int8_p50 = (float(np.median(times)) for times in took_ms)
        entries.append(SpeedEntry(batch_size=batch_size, fp32_p50_ms=fp32_p50, int8_p50_ms=int8_p50))
    return tuple(entries)


def _batch_size(sample: Sample) -> int:
    return len(next(iter(sample.inputs.values())))
