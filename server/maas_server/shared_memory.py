"""Keeping a server's shared memory to its own user.

Triton's Python backend makes its regions with mode 0644 whatever the umask says.
"""

from __future__ import annotations

import threading

from maas_server.guard import SHARED_MEMORY

_PRIVATE = 0o600
_LOOK_S = 0.2


def make_private(prefix: str) -> None:
    """Closes the regions whose names start with ``prefix`` to other users."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        try:
            if region.stat().st_mode & 0o777 != _PRIVATE:
                region.chmod(_PRIVATE)
        except FileNotFoundError:
            continue


def keep_private(prefix: str, stop: threading.Event) -> None:
    """Does so for every new region until ``stop``, in a thread of its own: each load of a model makes some."""

    def look() -> None:
        while not stop.wait(_LOOK_S):
            make_private(prefix)

    threading.Thread(target=look, name="shared-memory", daemon=True).start()
