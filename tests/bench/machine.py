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
        front_s: processor time of the server's own process, or of the process above its workers.
        workers_s: processor time of the processes below it.
        generator_s: processor time of what was started and waited for: the load generator.
        elapsed_s: how long the block took.
    """

    others: float = 0.0
    front_s: float = 0.0
    workers_s: float = 0.0
    generator_s: float = 0.0
    elapsed_s: float = 0.0


@contextmanager
def watch(server: int | None = None) -> Iterator[Watch]:
    """Measures during the block how busy others were, and how busy what parts of ours were.

    Ours are this process, all that it started and has not waited for (the server, of which ``server`` is the front),
    and all that it waited for (the generator). Interrupts are nobody's.
    """
    found = Watch()
    busy_s, generator_s, tree_s, start_s = _busy_s(), _waited_for_s(), _tree_s(), time.monotonic()
    yield found
    found.elapsed_s = time.monotonic() - start_s
    used_s = {pid: seconds - tree_s.get(pid, 0.0) for pid, seconds in _tree_s().items()}
    found.generator_s = _waited_for_s() - generator_s
    others_s = _busy_s() - busy_s - sum(used_s.values()) - found.generator_s
    found.others = max(0.0, others_s / (found.elapsed_s * (os.cpu_count() or 1)))
    if server is not None:
        below = {process.pid for process in psutil.Process(server).children(recursive=True)}
        found.front_s = used_s.get(server, 0.0)
        found.workers_s = sum(seconds for pid, seconds in used_s.items() if pid in below)


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
    return float(times.user + times.nice + times.system)


def _waited_for_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _tree_s() -> dict[int, float]:
    """Processor time of this process and of all below it, by process id."""
    process = psutil.Process()
    found = {}
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found[one.pid] = float(times.user + times.system)
    return found
