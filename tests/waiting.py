"""What tests wait for: a condition, and the end of a process that is not theirs to wait for; and what stands still."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import psutil

EVENT_TIMEOUT_S = 150.0
STOOD_STILL_S = 0.7
"""Triton takes a process for dead after a second in which it heard nothing of it, and hears of it every 0.3 s."""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = EVENT_TIMEOUT_S) -> None:
    """Returns when ``condition`` holds; fails with ``what`` in words when it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.02)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice. It may end while it is looked at."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextlib.contextmanager
def longest_standstill() -> Iterator[list[float]]:
    """Yields a list of one number: for how many seconds this process stood still, at most, since then."""
    longest_s, over = [0.0], threading.Event()

    def watch() -> None:
        looked_at = time.monotonic()
        while not over.wait(0.02):
            now = time.monotonic()
            longest_s[0] = max(longest_s[0], now - looked_at)
            looked_at = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield longest_s
    finally:
        over.set()
        watcher.join()
