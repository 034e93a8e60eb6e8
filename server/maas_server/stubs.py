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
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from maas_server.binary import STUB_NAME
from maas_server.guard import SHARED_MEMORY

_MODEL_FILE_ARGUMENT, REGION_ARGUMENT, _INSTANCE_ARGUMENT, RUNTIME_ARGUMENT = 1, 2, 8, 9
"""Positions on a stub's command line (python_backend, ``stub_launcher.cc``)."""
_DISCOVERY_INTERVAL_S = 0.5
_DEAD = "ZX"
_STOPPED = "T"

Fault = Literal["dead", "stopped"]


@dataclass(frozen=True)
class Stub:
    """The process of one model instance.

    Attributes:
        pid: its process id.
        instance: the model instance's name, e.g. ``digits_cnn_0_1``; empty for one that died before it was seen alive.
        region: the name of its shared memory; likewise.
        model: whose it is; likewise. Instances say it only where their instance groups have no names of their own.
    """

    pid: int
    instance: str
    region: str
    model: str


@dataclass(frozen=True)
class StubFault:
    """A stub that will not answer again."""

    stub: Stub
    fault: Fault


class StubWatch:
    """Looks after the stubs of one server.

    Args:
        server_pid: the process id of ``tritonserver``.

    Attributes:
        command: the command line of the stub that was seen last; empty while none was.
    """

    def __init__(self, server_pid: int) -> None:
        self.command: list[str] = []
        self._server_pid = server_pid
        self._stubs: dict[int, Stub] = {}
        self._suspects: dict[int, Fault] = {}
        self._ignored: set[int] = set()
        self._next_discovery = 0.0

    def scan(self) -> list[StubFault]:
        """The stubs that died or were stopped, each told once.

        A fault counts when two scans in a row see it: a stub that is unloaded in order is a zombie for a moment too.
        """
        self.discover_if_due()
        seen = {pid: fault for pid in self._stubs if (fault := fault_of(pid)) is not None}
        confirmed = [
            StubFault(self._stubs[pid], fault) for pid, fault in seen.items() if self._suspects.get(pid) == fault
        ]
        self._suspects = seen
        self.ignore(fault.stub for fault in confirmed)
        return confirmed

    def known(self) -> list[Stub]:
        """The stubs that are watched."""
        return list(self._stubs.values())

    def ignore(self, stubs: Iterable[Stub]) -> None:
        """Watches these no more."""
        for stub in stubs:
            self._stubs.pop(stub.pid, None)
            self._ignored.add(stub.pid)

    def discover_if_due(self) -> None:
        """Learns which stubs there are, twice a second: enough while nothing is served yet."""
        if time.monotonic() >= self._next_discovery:
            self.discover()

    def discover(self) -> None:
        """Learns which stubs there are; call it after a load, so that none dies unknown."""
        self._next_discovery = time.monotonic() + _DISCOVERY_INTERVAL_S
        try:
            children = psutil.Process(self._server_pid).children()
        except psutil.NoSuchProcess:
            return
        alive = {child.pid for child in children}
        self._stubs = {pid: stub for pid, stub in self._stubs.items() if pid in alive}
        self._ignored &= alive
        for child in children:
            if child.pid not in self._stubs and child.pid not in self._ignored:
                self._learn(child)

    def _learn(self, process: psutil.Process) -> None:
        try:
            command = process.cmdline()
        except psutil.ZombieProcess:
            self._stubs[process.pid] = Stub(process.pid, "", "", "")
            return
        except psutil.Error:
            return
        if len(command) > RUNTIME_ARGUMENT and Path(command[0]).name == STUB_NAME:
            # REPOSITORY/MODEL/VERSION/FILE, also where the backend itself is in Python.
            model = Path(command[_MODEL_FILE_ARGUMENT]).parent.parent.name
            self._stubs[process.pid] = Stub(process.pid, command[_INSTANCE_ARGUMENT], command[REGION_ARGUMENT], model)
            self.command = command


def kill_stub(stub: Stub) -> None:
    """Kills a stub."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(stub.pid, signal.SIGKILL)


def end_stub(stub: Stub) -> None:
    """Kills a stub and removes its shared memory, which only this stub and its server use."""
    kill_stub(stub)
    if stub.region:
        (SHARED_MEMORY / stub.region).unlink(missing_ok=True)


def is_running(server_pid: int, stub: Stub) -> bool:
    """Whether the stub is still a process of that server: ids are given anew."""
    try:
        return bool(psutil.Process(stub.pid).ppid() == server_pid)
    except psutil.NoSuchProcess:
        return False


def fault_of(pid: int) -> Fault | None:
    """What is wrong with a process, by the third field of ``/proc/PID/stat`` (proc(5)); nothing once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    state = text.rpartition(")")[2].split()[0]
    if state in _DEAD:
        return "dead"
    return "stopped" if state == _STOPPED else None
