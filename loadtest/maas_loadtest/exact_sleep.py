"""Waiting until a moment, to some ten microseconds, without keeping other greenlets from running.

gevent's own timers have steps of a millisecond (libev waits in epoll with whole milliseconds), which is as long as a
small model takes. Linux has timers that are files (timerfd_create(2)), which the same loop waits for exactly.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any

import gevent
from gevent import get_hub

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_NS = 1_000_000_000
_READABLE = 1
_COARSE_NS = 2_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class ExactSleep:
    """Sleeps until moments of ``time.monotonic_ns``; one greenlet at a time. Close it at the end."""

    def __init__(self) -> None:
        libc: Any = ctypes.CDLL(None, use_errno=True)
        self._settime: Any = getattr(libc, "timerfd_settime", None)
        self._file = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC) if self._settime is not None else -1
        self._spec = _Itimerspec()
        self._watcher: Any = get_hub().loop.io(self._file, _READABLE) if self._file >= 0 else None

    def until(self, moment_ns: int) -> None:
        """Returns at that moment, at once where it has passed."""
        if moment_ns <= time.monotonic_ns():
            return
        if self._watcher is None:
            gevent.sleep((moment_ns - time.monotonic_ns()) / _NS)
            return
        self._spec.value.seconds, self._spec.value.nanoseconds = divmod(moment_ns, _NS)
        # Setting it anew also takes back that it is readable.
        self._settime(self._file, _ABSOLUTE, ctypes.byref(self._spec), None)
        get_hub().wait(self._watcher)

    def close(self) -> None:
        """Gives the timer back."""
        if self._watcher is not None:
            self._watcher.close()
            os.close(self._file)
            self._watcher = None
