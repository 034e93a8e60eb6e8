"""Stopping a server without losing a request."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from pathlib import Path

from maas_server.ensembles import steps_by_ensemble
from maas_server.launcher import RunningTriton
from maas_server.triton_http import TritonRefused, TritonUnreachable

_POLL_S = 0.05
_EXIT_TIMEOUT_S = 5.0
_CALL_TIMEOUT_S = 2.0
"""Between two calls it is looked whether to hurry."""


def drain(running: RunningTriton, view: Path, timeout_s: float, hurry: Callable[[], bool]) -> bool:
    """Refuses new requests, lets those in flight be answered, and stops the server.

    Unloading does the first two over both protocols; stopping alone would go on taking gRPC requests. Ensembles go
    first, since what is in flight in them still needs the models that they are made of.

    Args:
        running: the server.
        view: what it serves.
        timeout_s: how long requests in flight may take; with 0 the server is not even asked to end, which takes it a
            second.
        hurry: whether to stop at once.

    Returns:
        Whether all that was in flight was answered.
    """
    deadline = time.monotonic() + timeout_s
    try:
        loaded = {entry.model for entry in running.api.index() if entry.state == "READY"}
        ensembles = steps_by_ensemble(view).keys() & loaded
        answered = all(
            _unload(running, group, lambda: hurry() or time.monotonic() > deadline)
            for group in (ensembles, loaded - ensembles)
        )
    except (TritonRefused, TritonUnreachable):
        answered = False
    if timeout_s > 0:
        running.process.terminate()
        end = time.monotonic() + _EXIT_TIMEOUT_S
        while running.process.wait(_POLL_S) is None and not hurry() and time.monotonic() < end:
            pass
    running.process.kill()
    return answered


def _unload(running: RunningTriton, models: Collection[str], give_up: Callable[[], bool]) -> bool:
    for model in sorted(models):
        if give_up():
            return False
        # The server goes on unloading when the call is given up; what is still served is seen below.
        with contextlib.suppress(TritonUnreachable):
            running.api.unload(model, _CALL_TIMEOUT_S)
    while _serves_any(running, models):
        if give_up():
            return False
        time.sleep(_POLL_S)
    return True


def _serves_any(running: RunningTriton, models: Collection[str]) -> bool:
    try:
        index = running.api.index(_CALL_TIMEOUT_S)
    except TritonUnreachable:
        if running.process.exit_code() is not None:
            raise
        return True
    return any(entry.model in models and entry.state in ("READY", "UNLOADING") for entry in index)
