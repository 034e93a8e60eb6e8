"""Writing a journal: append-only, hash-chained, on the disk before anything else happens.

What is in an entry is described in :mod:`maas_rollout.state`; reading is :mod:`maas_core.releases`' part.
"""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maas_core.errors import MaasError
from maas_core.files import fsync_dir
from maas_core.releases import FIRST_PREV, PIN, Entry, journals_dir, note_place, pins, read_entries, whole_lines
from maas_rollout.ports import Clock

_ORDER_LOCK = ".order.lock"
Listener = Callable[[Entry], None]


class JournalNotWritten(MaasError):
    """An entry could not be brought to the disk; what it was to announce has not been done."""


class Journal:
    """The journal of one model. Whoever appends holds the model's lock (:mod:`maas_rollout.lock`).

    Args:
        path: its file.
        clock: for the time of an entry.
        listener: is told of each entry once it is on the disk.
    """

    def __init__(self, path: Path, clock: Clock, listener: Listener | None = None) -> None:
        self.path = path
        self._clock = clock
        self._listener = listener
        self._who = who()

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        return read_entries(self.path)

    def append(self, rollout: str, kind: str, data: Mapping[str, Any] | None = None) -> Entry:
        """Adds an entry and returns when it is on the disk.

        Raises:
            JournalNotWritten: where it is not; the journal is as it was.
        """
        try:
            entry = self._append(rollout, kind, dict(data or {}))
        except OSError as error:
            raise JournalNotWritten(
                f"{self.path} cannot be written: {error}", "make room or give rights there, then `maas rollout resume`"
            ) from error
        if self._listener is not None:
            self._listener(entry)
        return entry

    def pin(self, rollout: str, repository: Path, versions: Mapping[str, int]) -> bool:
        """Writes down which versions serve from now on; returns whether others did before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _only_pinner():
            before = pins(repository)
            served: dict[str, int] = {}
            for entry in before:
                served |= entry.data["versions"]
            if all(served.get(model) == version for model, version in versions.items()):
                return False
            order = 1 + max((int(entry.data["order"]) for entry in before), default=0)
            note_place(repository)
            data = {"repository": str(repository.resolve()), "versions": dict(versions), "order": order}
            self.append(rollout, PIN, data)
        return True

    def _append(self, rollout: str, kind: str, data: dict[str, Any]) -> Entry:
        is_new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lines = whole_lines(self.path.read_bytes())
            prev = hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST_PREV
            at = self._clock.now().isoformat(timespec="milliseconds")
            entry = Entry(len(lines) + 1, at, self._who, rollout, kind, data, prev)
            _write_at(descriptor, sum(len(line) + 1 for line in lines), entry.line() + b"\n")
        finally:
            os.close(descriptor)
        if is_new:
            fsync_dir(self.path.parent)
        return entry


def _write_at(descriptor: int, end: int, line: bytes) -> None:
    """Writes a line where the last whole one ends; what an append left that a crash cut off goes first."""
    os.ftruncate(descriptor, end)
    try:
        os.lseek(descriptor, end, os.SEEK_SET)
        written = 0
        while written < len(line):
            written += os.write(descriptor, line[written:])
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def who() -> str:
    """User, machine and process, for the record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # In a container a user may have a number and no name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()} pid {os.getpid()}"


@contextmanager
def _only_pinner() -> Iterator[None]:
    """Rollouts of several models may pin at once; the order of their entries must be told apart."""
    with (journals_dir() / _ORDER_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
