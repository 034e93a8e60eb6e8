"""Ends a Python stub that stood still over a request, before it can answer. Runs inside the stub, on stdlib alone.

Triton takes a stub for dead that has not told for a second that it lives (python_backend r24.10,
``StubLauncher::ReceiveMessageFromStub``), also where it, or the whole machine, was only stopped or short of processor
time. It fails the request and frees its memory, but leaves the stub alone: what that answers when it goes on is taken
for the answer to the **next** request, somebody else's. A stub that is gone is told from one that is slow: its requests
fail, and it is replaced.

Not held back: what a decoupled model sends, unless its ``execute`` waits until all is sent; answers of a model whose
``execute`` is no function of its class. Not noticed: a standstill between the end of ``execute`` and the answer, and
one in five of those that last hardly longer than a second, in which Triton seldom gives a request up.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import json
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

_BEAT_S = 0.3
"""How often a stub tells Triton that it lives, in a thread that needs no GIL."""
_LOOK_S = 0.1
_GAP_S = 0.85
"""Only one that stood still for longer can have missed a whole second: the beat before it was seen at the next look."""
_UNTOLD_S = 0.35
"""More than this is never left over when the beats of a time are taken off it."""
_LATE_S = 0.05
"""What each beat may be late on a crowded machine."""
_LATE_TOGETHER_S = 0.6
"""Beats that were late by more, together, may as well be one that was missing for a second."""
_GIVEN_UP_S = 0.95
"""After this long Triton may have given up a request."""
_JUST_WOKEN_S = 1.0
"""A request that is begun so soon after a standstill may have been sent during it."""
_MODEL_CLASS = "TritonPythonModel"
_START_TIME = 19
"""Its place among the fields after the name in ``/proc/PID/stat``, proc(5)."""


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


class Told(NamedTuple):
    """What became of the thread that tells Triton that the stub lives.

    Attributes:
        beats: how often it ran.
        waited_s: how long it waited for a processor, together, in seconds.
    """

    beats: float
    waited_s: float


class StallGuard:
    """Notices standstills: times in which nobody told Triton that the stub lives.

    Attributes:
        is_decoupled: Triton does not wait for the model's coroutines.

    Args:
        end: ends this process.
        told: reads what was told.
        now: reads the clocks.
    """

    def __init__(
        self, end: Callable[[float], None], told: Callable[[], Told], now: Callable[[], Moment] = Moment.now
    ) -> None:
        self._end = end
        self._told = told
        self._now = now
        self._lock = threading.Lock()
        self._seen, self._seen_told = now(), told()
        self._woken_at = -math.inf
        self._still_s = 0.0
        self.is_decoupled = False

    def look(self) -> None:
        """Notes whether the process stood still since the last look."""
        with self._lock:
            try:
                now, told = self._now(), self._told()
            except (OSError, ValueError):
                # The thread that tells has ended, as this process is about to.
                return
            passed_s = now.passed_since(self._seen)
            beats = told.beats - self._seen_told.beats
            if not beats and passed_s <= _GAP_S:
                return
            late_s = min(told.waited_s - self._seen_told.waited_s, _LATE_S * beats, _LATE_TOGETHER_S)
            # The first and the last beat may lie at its edges.
            still_s = passed_s - _BEAT_S * max(beats - 2, 0)
            if passed_s - _BEAT_S * beats - late_s > _UNTOLD_S and still_s > _GAP_S:
                self._woken_at, self._still_s = now.steady, still_s
            # Last: who finds it recent reads the others without the lock.
            self._seen, self._seen_told = now, told

    def around(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """The model's ``execute``, which does not come to an end where Triton no longer waits for it."""

        @functools.wraps(execute)
        def guarded(*arguments: Any, **named: Any) -> Any:
            begun = self._glance()
            if self._still_s > _GIVEN_UP_S and begun.steady - self._woken_at < _JUST_WOKEN_S:
                self._end(self._still_s)
            try:
                result = execute(*arguments, **named)
            finally:
                self._check(begun)
            return self._awaited(result, begun) if inspect.iscoroutine(result) and not self.is_decoupled else result

        return guarded

    async def _awaited(self, execution: Coroutine[Any, Any, Any], begun: Moment) -> Any:
        try:
            return await execution
        finally:
            self._check(begun)

    def _check(self, begun: Moment) -> None:
        """Ends the process where a request that was begun then may have been given up."""
        done = self._glance()
        if self._woken_at >= begun.steady and done.passed_since(begun) > _GIVEN_UP_S:
            self._end(self._still_s)

    def _glance(self) -> Moment:
        """Looks only where the thread that always does cannot have: this happens twice for every request."""
        now = self._now()
        if now.passed_since(self._seen) > _GAP_S:
            self.look()
        return now

    def run(self) -> None:
        """Looks again and again; for a thread."""
        while True:
            time.sleep(_LOOK_S)
            self.look()


class Teller:
    """The thread that tells Triton, as the scheduler sees it (Linux, ``/proc/PID/task/TID/schedstat``).

    It runs for next to nothing at each beat, whatever the model computes and whoever holds the GIL: how often it ran is
    how often it told. On a crowded machine it is let in at once; a process that is stopped, or a machine that is, has
    no beats.

    Args:
        tasks: the folder of the process's threads.

    Raises:
        OSError: the kernel does not tell.
        ValueError: it tells in another way, or there is no such thread.
    """

    def __init__(self, tasks: Path = Path("/proc/self/task")) -> None:
        others = [thread for thread in tasks.iterdir() if thread.name != str(os.getpid())]
        # The stub starts it before it loads anything.
        self._schedstat = min(others, key=_started) / "schedstat"
        if not self().beats:
            raise ValueError("this kernel counts nothing")

    def __call__(self) -> Told:
        """Since the thread began."""
        _ran_ns, waited_ns, beats = map(int, self._schedstat.read_text().split())
        return Told(beats, waited_ns / 1e9)


def _started(thread: Path) -> tuple[int, int]:
    fields = (thread / "stat").read_text().rpartition(")")[2].split()
    return int(fields[_START_TIME]), int(thread.name)


def _told() -> Callable[[], Told]:
    """The scheduler's account; where it has none, time in which this process computed passes for time that it told."""
    try:
        return Teller()
    except (OSError, ValueError):
        return lambda: Told(time.process_time() / _BEAT_S, 0.0)


def watch() -> None:
    """Guards the model's class, which the stub is about to define."""
    guard = StallGuard(_end, _told())
    build_class: Any = builtins.__build_class__

    def build(body: Any, name: str, /, *bases: Any, **keywords: Any) -> Any:
        made = build_class(body, name, *bases, **keywords)
        if name == _MODEL_CLASS:
            guard_model(made, guard)
        return made

    builtins.__build_class__ = build
    threading.Thread(target=guard.run, name="stall-guard", daemon=True).start()


def guard_model(model: Any, guard: StallGuard) -> None:
    """Puts the guard around the ``execute`` of a model's class, and lets it know whether that is decoupled."""
    execute = inspect.getattr_static(model, "execute", None)
    if isinstance(execute, staticmethod | classmethod):
        model.execute = type(execute)(guard.around(execute.__func__))
    elif inspect.isfunction(execute):
        model.execute = guard.around(execute)
    initialize = inspect.getattr_static(model, "initialize", None)
    if not inspect.isfunction(initialize):
        return

    @functools.wraps(initialize)
    def initialized(self: Any, args: Any) -> Any:
        policy = json.loads(args["model_config"]).get("model_transaction_policy", {})
        guard.is_decoupled = bool(policy.get("decoupled", False))
        return initialize(self, args)

    model.initialize = initialized


def _end(still_s: float) -> None:
    words = f"stub {os.getpid()} stood still for {still_s:.2f} s and ends: its request may have been given up\n"
    os.write(2, words.encode())
    os._exit(1)
