"""Stopping a server without losing a request."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path

from maas_server.ensembles import steps_by_ensemble
from maas_server.launcher import RunningTriton
from maas_server.triton_http import TritonHttp, TritonRefused, TritonUnreachable

_POLL_S = 0.05
_EXIT_TIMEOUT_S = 5.0


def drain(running: RunningTriton, view: Path, timeout_s: float, hurry: Callable[[], bool]) -> bool:
    """Refuses new requests, lets those in flight be answered, and stops the server.

    Unloading does the first two over both protocols; stopping alone would go on taking gRPC requests. Ensembles go
    first, since what is in flight in them still needs the models that they are made of.

    Args:
        running: the server.
        view: what it serves.
        timeout_s: how long requests in flight may take.
        hurry: whether to stop at once.

    Returns:
        Whether all that was in flight was answered.
    """
    deadline = time.monotonic() + timeout_s
    try:
        loaded = {entry.model for entry in running.api.index() if entry.state == "READY"}
        ensembles = steps_by_ensemble(view).keys() & loaded
        answered = all(
            _unload(running.api, group, deadline, hurry) for group in (ensembles, loaded - ensembles) if group
        )
    except (TritonRefused, TritonUnreachable):
        answered = False
    running.process.terminate()
    end = time.monotonic() + _EXIT_TIMEOUT_S
    while running.process.wait(_POLL_S) is None and not hurry() and time.monotonic() < end:
        pass
    running.process.kill()
    return answered


def _unload(api: TritonHttp, models: Collection[str], deadline: float, hurry: Callable[[], bool]) -> bool:
    for model in sorted(models):
        api.unload(model)
    while any(entry.model in models and entry.state in ("READY", "UNLOADING") for entry in api.index()):
        if hurry() or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
