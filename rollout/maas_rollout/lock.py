"""One rollout per model at a time: a lock with an owner, that a process which dies lets go of by dying.

The kernel holds the lock (``flock``), so there is no stale one to break: what the file says of its owner is only for
people. Whoever finds the owner of another process in it takes over from one that is gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from maas_core.errors import NotHeld
from maas_core.releases import journals_dir
from maas_rollout.journal import who

_PROBE_S = 0.3
"""Who only looks whether a lock is held (:func:`is_locked`) holds it for an instant itself."""
_RETRY_S = 0.01


class Locked(NotHeld):
    """Another rollout of the model is under way."""


def lock_path(model: str) -> Path:
    """The lock of one model."""
    return journals_dir() / f"{model}.lock"


@contextmanager
def locked(models: Sequence[str]) -> Iterator[dict[str, str]]:
    """Holds the locks of all ``models``, or none.

    Yields:
        Who held a lock and died with it, by model.

    Raises:
        Locked: where another process holds one of them.
    """
    journals_dir().mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        left: dict[str, str] = {}
        for model in sorted(set(models)):
            before = stack.enter_context(_locked(model))
            if before:
                left[model] = before
        yield left


@contextmanager
def _locked(model: str) -> Iterator[str]:
    descriptor = os.open(lock_path(model), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _taken_within(descriptor, _PROBE_S):
            raise Locked(
                f"{model} is locked: a rollout of it is under way ({owner_of(model) or 'owner unknown'})",
                f"see `maas rollout status {model}`, or wait for it to end",
            )
        before = owner_of(model)
        _write_owner(descriptor, {"owner": who()})
        yield before
        # Only one that ends in order takes its name away: one that stays tells of a process that died.
        _write_owner(descriptor, {})
    finally:
        os.close(descriptor)


def _taken_within(descriptor: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_RETRY_S)
        else:
            return True


def is_locked(model: str) -> bool:
    """Whether a process holds the lock now."""
    try:
        descriptor = os.open(lock_path(model), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def owner_of(model: str) -> str:
    """Who holds the lock, or died with it; empty where nobody does."""
    try:
        owner = json.loads(lock_path(model).read_bytes() or b"{}").get("owner", "")
    except (FileNotFoundError, ValueError):
        # A process that died while it wrote its name has left half of it.
        return ""
    return str(owner)


def _write_owner(descriptor: int, owner: dict[str, str]) -> None:
    """Best effort by design: the lock holds without a name, also where the disk is full."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
    except OSError:
        os.ftruncate(descriptor, 0)
