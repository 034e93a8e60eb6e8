"""Ends a Python stub that stood still over a request, before it can answer. Runs inside the stub, on stdlib alone.

Triton takes a stub for dead that has not told for a second that it lives (python_backend r24.10,
``StubLauncher::ReceiveMessageFromStub``), also where it, or the whole machine, was only stopped or short of processor
time. It fails the request and frees its memory, but leaves the stub alone: what that answers when it goes on is taken
for the answer to the **next** request, somebody else's. A stub that is gone is told from one that is slow: its requests
fail, and it is replaced.
"""

from __future__ import annotations

import builtins
import functools
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_BEAT_S = 0.2
_STILL_S = 0.65
"""A stub tells every 0.3 s that it lives: only one that stood still for longer can have missed a whole second."""
_GIVEN_UP_S = 0.95
"""After this long Triton may have given up a request."""
_JUST_WOKEN_S = 0.3
"""A request that is begun so soon after a standstill was, most likely, sent during it."""
_MODEL_CLASS = "TritonPythonModel"


class Moment(NamedTuple):
    """What the clocks say, in seconds.

    Attributes:
        steady: the monotonic clock.
        system: the clock that Triton's waits go by; whoever sets it forward ends them.
    """

    steady: float
    system: float

    @classmethod
    def now(cls) -> Moment:
        """What they say now."""
        return cls(time.monotonic(), time.time())

    def passed_since(self, earlier: Moment) -> float:
        """The longer of what both clocks say has passed."""
        return max(self.steady - earlier.steady, self.system - earlier.system)


class StallGuard:
    """Notices standstills.

    Args:
        end: ends this process.
        now: reads the clocks.
        active: reads for how long, in seconds, the process was seen to go on; it tells standing still from computing
            without ever releasing the GIL.
    """

    def __init__(
        self,
        end: Callable[[float], None],
        now: Callable[[], Moment] = Moment.now,
        active: Callable[[], float] = time.process_time,
    ) -> None:
        self._end = end
        self._now = now
        self._active = active
        self._seen, self._seen_active_s = now(), active()
        self._woken_at = -math.inf
        self._still_s = 0.0

    def look(self) -> None:
        """Notes whether the process stood still since the last look."""
        now, active_s = self._now(), self._active()
        still_s = now.passed_since(self._seen) - (active_s - self._seen_active_s)
        self._seen, self._seen_active_s = now, active_s
        if still_s > _STILL_S:
            self._woken_at, self._still_s = now.steady, still_s

    def around(self, execute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The model's ``execute``, after which no answer leaves that Triton no longer waits for."""

        @functools.wraps(execute)
        def guarded(model: Any, requests: Any) -> Any:
            begun = self._glance()
            if self._still_s > _GIVEN_UP_S and begun.steady - self._woken_at < _JUST_WOKEN_S:
                self._end(self._still_s)
            try:
                return execute(model, requests)
            finally:
                done = self._glance()
                if self._woken_at >= begun.steady and done.passed_since(begun) > _GIVEN_UP_S:
                    self._end(self._still_s)

        return guarded

    def _glance(self) -> Moment:
        """Looks only where the thread that always does cannot have: this happens twice for every request."""
        now = self._now()
        if now.passed_since(self._seen) > _STILL_S:
            self.look()
        return now

    def run(self) -> None:
        """Looks again and again; for a thread."""
        while True:
            time.sleep(_BEAT_S)
            self.look()


class Activity:
    """For how long this process went on, as the scheduler tells it (Linux, ``/proc/PID/task/TID/schedstat``).

    That is the time in which the thread of the model computed or waited for a processor, less the time in which the
    thread that tells Triton waited for one: on a crowded machine the one waits long while the other, which needs next
    to nothing, is let in at once. A process that is stopped, and a machine that is, have neither.

    Args:
        tasks: the folder of the process's threads.

    Raises:
        OSError: the kernel does not tell.
        ValueError: it tells in another way, or the thread that tells Triton cannot be found.
    """

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        first = os.getpid()
        # The stub starts the one that tells before it loads anything.
        teller = min(int(thread.name) for thread in tasks.iterdir() if int(thread.name) != first)
        self._model, self._teller = (tasks / str(thread) / "schedstat" for thread in (first, teller))
        self()

    def __call__(self) -> float:
        """Seconds since the process began."""
        computed_ns, waited_ns, _slices = map(int, self._model.read_text().split())
        _computed, teller_waited_ns, _slices = map(int, self._teller.read_text().split())
        return (computed_ns + waited_ns - teller_waited_ns) / 1e9


def _activity() -> Callable[[], float]:
    """The scheduler's account, or only the processor time where it has none."""
    try:
        return Activity()
    except (OSError, ValueError):
        return time.process_time


def watch() -> None:
    """Guards the model's class, which the stub is about to define."""
    guard = StallGuard(_end, active=_activity())
    build_class: Any = builtins.__build_class__

    def build(body: Any, name: str, /, *bases: Any, **keywords: Any) -> Any:
        made = build_class(body, name, *bases, **keywords)
        if name == _MODEL_CLASS and hasattr(made, "execute"):
            made.execute = guard.around(made.execute)
        return made

    builtins.__build_class__ = build
    threading.Thread(target=guard.run, name="stall-guard", daemon=True).start()


def _end(still_s: float) -> None:
    words = f"stub {os.getpid()} stood still for {still_s:.2f} s and ends: its request may have been given up\n"
    os.write(2, words.encode())
    os._exit(1)
