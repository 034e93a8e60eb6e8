"""Runs a program that ends when the process that wanted it ends, however that one does.

Started as a program of its own, from the standard library alone: ``python -I -S lifeline.py PARENT_PID COMMAND...``. It
asks the kernel for SIGKILL at the parent's end (prctl(2), PR_SET_PDEATHSIG), which stays asked for across exec. What it
runs must have no children of its own. It is scheduled as SCHED_BATCH (sched(7)): where processors are short, it
interrupts nobody, and takes more requests at a time when its turn comes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Becomes the command; returns only where it cannot be run."""
    parent, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return 1
    with contextlib.suppress(OSError):  # a container may forbid it
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        os.execv(command[0], command)  # noqa: S606  # an argument list on purpose, no shell
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
