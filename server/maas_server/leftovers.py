"""Removing what killed servers left in ``/dev/shm`` and ``/tmp``: only our own, and only of processes that are gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from maas_client.ownership import owner_is_gone, owner_tag
from maas_server.guard import SHARED_MEMORY
from maas_server.runtime_dir import PREFIX as RUNTIME_PREFIX

SHM_PREFIX = "maas_"
_PYTHON_ENVIRONMENTS = Path("/tmp")  # noqa: S108  # Triton's Python backend always makes its python_env_* folders there


def own_shm_prefix() -> str:
    """The start of the names of all shared memory of the servers of this process."""
    return f"{SHM_PREFIX}{owner_tag()}."


def shm_prefix(run: int) -> str:
    """The start of the names of all shared memory of one run of a server.

    Args:
        run: tells the runs of one process apart.
    """
    return f"{own_shm_prefix()}{run}_"


def remove_leftovers() -> list[Path]:
    """Removes what servers of processes that are gone left behind; returns what it removed."""
    removed = []
    for path in [*_stale(SHARED_MEMORY, SHM_PREFIX), *_stale(Path(tempfile.gettempdir()), RUNTIME_PREFIX)]:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed + list(_remove_python_environments())


def _stale(folder: Path, prefix: str) -> Iterator[Path]:
    return (path for path in folder.glob(f"{prefix}*") if _is_ours(path) and owner_is_gone(path.name))


def _remove_python_environments() -> Iterator[Path]:
    """Triton's Python backend makes an empty folder for each run, and a killed run leaves it.

    It carries no owner in its name: it is stale when no server that is still running was started before it was made.
    """
    oldest_running = min(_start_times_of_servers(), default=float("inf"))
    for path in _PYTHON_ENVIRONMENTS.glob("python_env_??????"):
        if _is_ours(path) and path.lstat().st_ctime < oldest_running:
            # Not empty: a server unpacked an environment of its own there, which is not ours to remove.
            with contextlib.suppress(OSError):
                path.rmdir()
                yield path


def _start_times_of_servers() -> Iterator[float]:
    for process in psutil.process_iter(["name", "create_time"]):
        if process.info["name"] == "tritonserver":
            yield process.info["create_time"]


def _is_ours(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.getuid()
    except FileNotFoundError:
        return False
