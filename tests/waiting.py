"""What tests wait for: a condition, and the end of a process that is not theirs to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil

EVENT_TIMEOUT_S = 150.0


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
