"""What else the machine did while something was measured, and how much memory a server holds."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

_GLANCE_S = 0.5


@dataclass
class Watch:
    """What :func:`watch` found, after its block.

    Attributes:
        others: the share of the whole machine (0 to 1) that processes other than ours took.
    """

    others: float = 0.0


@contextmanager
def watch() -> Iterator[Watch]:
    """Measures how busy others were during the block.

    Ours are this process, all that it started and has not waited for (the server), and all that it waited for (the
    generator).
    """
    found = Watch()
    busy_s, own_s, start_s = _busy_s(), _own_s(), time.monotonic()
    yield found
    others_s = (_busy_s() - busy_s) - (_own_s() - own_s)
    found.others = max(0.0, others_s / ((time.monotonic() - start_s) * (os.cpu_count() or 1)))


def quiet(share: float, wait_s: float) -> None:
    """Waits until others use at most ``share`` of the machine, or until ``wait_s`` are over."""
    deadline_s = time.monotonic() + wait_s
    while wait_s > 0:
        with watch() as seen:
            time.sleep(_GLANCE_S)
        if seen.others <= share or time.monotonic() > deadline_s:
            return


def private_bytes(pid: int) -> list[tuple[str, int]]:
    """Name and private memory (USS) of the process ``pid`` and of all below it, largest first."""
    process = psutil.Process(pid)
    found = []
    for one in (process, *process.children(recursive=True)):
        try:
            found.append((one.name(), int(one.memory_full_info().uss)))
        except psutil.NoSuchProcess:
            continue
    return sorted(found, key=lambda entry: -entry[1])


def _busy_s() -> float:
    times = psutil.cpu_times()
    # Interrupts are left out: the loopback's are ours, and nobody's account holds them.
    return float(times.user + times.nice + times.system)


def _own_s() -> float:
    waited_for = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = waited_for.ru_utime + waited_for.ru_stime
    process = psutil.Process()
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
