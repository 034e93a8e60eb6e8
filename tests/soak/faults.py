"""Killing stubs and servers, and measuring what a server holds."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where POSIX shared memory lies


@dataclass(frozen=True)
class Footprint:
    """What a supervised server holds at one moment.

    Attributes:
        server_bytes: unique memory of ``tritonserver`` and its stubs.
        supervisor_bytes: of the supervisor.
        stubs: living stub processes.
        regions: files in shared memory.
        region_bytes: their size.
    """

    server_bytes: int
    supervisor_bytes: int
    stubs: int
    regions: int
    region_bytes: int


def measure(supervisor_pid: int, triton_pid: int) -> Footprint:
    """The footprint now."""
    server = psutil.Process(triton_pid)
    stubs = [child for child in server.children() if child.status() != psutil.STATUS_ZOMBIE]
    regions = list(SHARED_MEMORY.glob(f"maas_{supervisor_pid}.*"))
    return Footprint(
        server_bytes=sum(process.memory_full_info().uss for process in (server, *stubs)),
        supervisor_bytes=psutil.Process(supervisor_pid).memory_full_info().uss,
        stubs=len(stubs),
        regions=len(regions),
        region_bytes=sum(region.stat().st_size for region in regions),
    )


class Killer(threading.Thread):
    """Kills something every so often.

    Args:
        every_s: seconds between two kills.
        pick: the process to kill; ``None`` where there is none now.
        stop: when to stop.
    """

    def __init__(self, every_s: float, pick: Callable[[], psutil.Process | None], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.kills = 0
        self._every_s = every_s
        self._pick = pick
        self._stop_asked = stop

    def run(self) -> None:
        while not self._stop_asked.wait(self._every_s):
            with contextlib.suppress(psutil.NoSuchProcess):
                process = self._pick()
                if process is not None:
                    process.kill()
                    self.kills += 1


def stub_picker(triton_pid: Callable[[], int], seed: int) -> Callable[[], psutil.Process | None]:
    """Picks any living stub of the server."""
    generator = random.Random(seed)

    def pick() -> psutil.Process | None:
        stubs = [c for c in psutil.Process(triton_pid()).children() if c.status() != psutil.STATUS_ZOMBIE]
        return generator.choice(stubs) if stubs else None

    return pick


def wait_for_stubs(supervisor_pid: int, triton_pid: Callable[[], int], stubs: int, timeout_s: float) -> Footprint:
    """The footprint once as many stubs as ``stubs`` live and the old ones are gone, or at the time-out."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
            found = measure(supervisor_pid, triton_pid())
            if (found.stubs == stubs and found.regions == stubs) or time.monotonic() > deadline:
                return found
        time.sleep(0.2)
