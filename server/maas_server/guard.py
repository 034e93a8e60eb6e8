"""Runs a server so that it never outlives the process that wanted it, however that one ends.

Started as a program of its own, from the standard library alone (``python -I -S guard.py``), because only a parent
process can be sure to notice: it waits for the server and looks after the process that started it; when that is gone
(SIGKILL too) it kills the server. When the server is gone it kills what the server leaves: Python stubs, also
stopped ones, and their shared memory.

Usage: ``guard.py PARENT_PID RUNTIME_DIR SHM_PREFIX COMMAND...``; prints the server's process id, and ends with the
server's exit code, or 128 and the number of the signal that ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PARENT_CHECK_S = 0.2
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""They come to the whole machine or terminal; stopping the server in order is the parent's work."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where POSIX shared memory lies, not a temporary file


def main(arguments: list[str]) -> int:
    """Runs the server and returns its exit code."""
    parent, runtime_dir, shm_prefix, command = int(arguments[0]), arguments[1], arguments[2], arguments[3:]
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    server = os.fork()
    if server == 0:
        _exec_server(libc, command)
    os.write(sys.stdout.fileno(), f"{server}\n".encode())
    orphaned = not _wait_for_end(server, parent)
    _end_group(server)
    status = _reap(server)
    remove_shared_memory(shm_prefix)
    if orphaned:
        shutil.rmtree(runtime_dir, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def remove_shared_memory(prefix: str) -> int:
    """Removes the shared-memory regions whose names start with ``prefix``; returns how many there were."""
    if not prefix:
        raise ValueError("an empty prefix would remove the shared memory of every program")
    regions = list(SHARED_MEMORY.glob(f"{prefix}*"))
    for region in regions:
        region.unlink(missing_ok=True)
    return len(regions)


def _exec_server(libc: ctypes.CDLL, command: list[str]) -> None:
    os.setpgid(0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.dup2(2, 1)
    try:
        os.execv(command[0], command)  # noqa: S606  # an argument list on purpose, no shell
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    os._exit(127)


def _wait_for_end(server: int, parent: int) -> bool:
    """Returns True when the server has ended (it is left for :func:`_reap`), False when the parent has."""
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while os.getppid() == parent:
        if os.waitid(os.P_PID, server, ended) is not None:
            return True
        signal.sigtimedwait({signal.SIGCHLD}, _PARENT_CHECK_S)
    return False


def _end_group(server: int) -> None:
    """Kills the server's process group: its id cannot be another's while the server is not reaped."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server, signal.SIGKILL)


def _reap(server: int) -> int:
    """Waits for the server and for every stub that fell to us when it died; returns the server's wait status."""
    result = 0
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return result
        if pid == server:
            result = status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
