"""Watching the Python stubs of a server: one process per model instance.

Triton 2.51 does not notice that a stub is gone: its requests fail while model and server say that they are ready. A
stub that was killed stays a zombie, since its server waits for it only when it unloads the model; a stopped one is in
state T.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from maas_server.binary import STUB_NAME

_INSTANCE_ARGUMENT = 8
"""Position of the instance's name on a stub's command line (python_backend, ``stub_launcher.cc``)."""
_DISCOVERY_INTERVAL_S = 1.0
_DEAD = "ZX"
_STOPPED = "T"

Fault = Literal["dead", "stopped"]


@dataclass(frozen=True)
class StubFault:
    """A stub that will not answer again.

    Attributes:
        instance: the model instance's name, e.g. ``digits_cnn_0_1``.
    """

    pid: int
    instance: str
    fault: Fault


class StubWatch:
    """Looks after the stubs of one server.

    Args:
        server_pid: the process id of ``tritonserver``.
    """

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self._instances: dict[int, str] = {}
        self._suspects: dict[int, Fault] = {}
        self._reported: set[int] = set()
        self._next_discovery = 0.0

    def scan(self) -> list[StubFault]:
        """The stubs that died or were stopped, each told once.

        A fault counts when two scans in a row see it: a stub that is unloaded in order is a zombie for a moment too.
        """
        if time.monotonic() >= self._next_discovery:
            self.discover()
        seen = {pid: fault for pid in self._instances if (fault := _fault_of(pid)) is not None}
        confirmed = [
            StubFault(pid, self._instances.pop(pid), fault)
            for pid, fault in seen.items()
            if self._suspects.get(pid) == fault
        ]
        self._suspects = seen
        self._reported.update(fault.pid for fault in confirmed)
        return confirmed

    def discover(self) -> None:
        """Learns which stubs there are; call it after a load, so that none dies unknown."""
        self._next_discovery = time.monotonic() + _DISCOVERY_INTERVAL_S
        try:
            children = psutil.Process(self._server_pid).children()
        except psutil.NoSuchProcess:
            return
        alive = {child.pid for child in children}
        self._instances = {pid: name for pid, name in self._instances.items() if pid in alive}
        self._reported &= alive
        for child in children:
            if child.pid not in self._instances and child.pid not in self._reported:
                name = _instance_name(child)
                if name is not None:
                    self._instances[child.pid] = name


def end_stub(fault: StubFault) -> None:
    """Kills a stopped stub: its server could not unload it otherwise."""
    if fault.fault == "stopped":
        with contextlib.suppress(ProcessLookupError):
            os.kill(fault.pid, signal.SIGKILL)


def _instance_name(process: psutil.Process) -> str | None:
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return None
    if len(arguments) > _INSTANCE_ARGUMENT and Path(arguments[0]).name == STUB_NAME:
        return str(arguments[_INSTANCE_ARGUMENT])
    return None


def _fault_of(pid: int) -> Fault | None:
    """The third field of ``/proc/PID/stat`` (proc(5)); nothing for a stub that was unloaded and is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state = text.rpartition(")")[2].split()[0]
    if state in _DEAD:
        return "dead"
    return "stopped" if state == _STOPPED else None
