"""Regions of POSIX shared memory on Linux, as files of ``/dev/shm``: made, marked as in use, and found when stale.

The name tells the process that made a region, its first bytes since when a call is using it. So what a killed process
left can be removed, and is not while a server may still be writing into it.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

from maas_client.ownership import owner_is_gone, owner_tag

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux keeps POSIX shared memory
PREFIX = "maas_client_"
HEADER_BYTES = 64
"""Before the tensors; as long as a cache line, so that these stay aligned."""
LONGEST_USE_S = 600.0
"""A server is taken to be done with a region that a call left without an answer after so long."""
_BUSY_SINCE = struct.Struct("<d")
_numbers = itertools.count(1)


class Region:
    """Shared memory that this process made.

    Args:
        size_bytes: without the header.

    Raises:
        OSError: there is no shared memory here, or too little is left.
    """

    def __init__(self, size_bytes: int) -> None:
        self.name = f"{PREFIX}{owner_tag()}_{next(_numbers)}"
        self.size_bytes = size_bytes + HEADER_BYTES
        self.path = SHARED_MEMORY / self.name
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            # Reserved now: writing where there is no memory left ends the process (SIGBUS).
            os.posix_fallocate(descriptor, 0, self.size_bytes)
            self._map = mmap.mmap(descriptor, self.size_bytes)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self.memory = memoryview(self._map)
        self.pid = os.getpid()
        self.is_busy = False
        self._busy_since = 0.0

    def mark(self, *, busy: bool) -> None:
        """Notes that a call begins to use it, or that none does."""
        self.is_busy = busy
        self._busy_since = time.monotonic() if busy else 0.0
        _BUSY_SINCE.pack_into(self.memory, 0, self._busy_since)

    @property
    def is_safe(self) -> bool:
        """Whether no server can be writing into it any more."""
        return not self.is_busy or time.monotonic() - self._busy_since >= LONGEST_USE_S

    def remove(self) -> None:
        """Removes the name; the memory is free once nobody has it mapped."""
        self.path.unlink(missing_ok=True)


def stale_names() -> Iterator[str]:
    """Regions in ``/dev/shm`` whose owner is gone and that no server is using."""
    return (path.name for path in SHARED_MEMORY.glob(f"{PREFIX}*") if is_stale(path.name))


def is_stale(name: str) -> bool:
    """Whether the region was made by a process that is gone, and no server is using it."""
    if not name.startswith(PREFIX) or not owner_is_gone(name):
        return False
    try:
        with (SHARED_MEMORY / name).open("rb") as file:
            head = file.read(_BUSY_SINCE.size)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    # CLOCK_MONOTONIC is the same in all processes of a machine.
    busy_since = _BUSY_SINCE.unpack(head)[0] if len(head) == _BUSY_SINCE.size else 0.0
    return not 0.0 < time.monotonic() - busy_since < LONGEST_USE_S if busy_since else True


def remove_stale() -> None:
    """Removes what killed processes of this user left."""
    for name in stale_names():
        try:
            (SHARED_MEMORY / name).unlink(missing_ok=True)
        except PermissionError:
            continue  # another user's
