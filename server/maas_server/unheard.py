"""Speaking for stubs that died before their server had heard of them.

Triton 2.51 waits without limit for the first word of a stub (python_backend r24.10, ``StubLauncher::Launch``: the first
``parent_message_queue_->Pop()``): where it died before, the load never ends, nor any later load of that model. Where
Triton had heard of it, it learns of the death, and reaps the stub, within two seconds. So one that stays a zombie for
longer while a load is under way is waited for. Another stub, on the same shared memory, then answers in its stead that
it does not start, and the load fails as loads do.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from maas_server.guard import SHARED_MEMORY
from maas_server.leftovers import SHM_PREFIX
from maas_server.stubs import REGION_ARGUMENT, RUNTIME_ARGUMENT, Stub, StubWatch, fault_of

_LOOK_S = 0.1
_WAITED_FOR_S = 5.0
_ANSWER_S = 20.0
_ANSWER = (
    'raise RuntimeError("Stub process of an instance is not healthy: it ended before its server had heard of it")\n'
)


class UnheardStubs:
    """The dead stubs that a server may wait for."""

    def __init__(self) -> None:
        self._since: dict[Stub, float] = {}

    def add(self, stub: Stub) -> None:
        """One that died while a load was under way."""
        self._since.setdefault(stub, time.monotonic())

    def clear(self) -> None:
        """No load is under way: nobody is waited for."""
        self._since.clear()

    def take_due(self) -> bool:
        """Whether one is a zombie for so long that it must be waited for; not again while an answer may be given."""
        self._since = {stub: since for stub, since in self._since.items() if fault_of(stub.pid) == "dead"}
        now = time.monotonic()
        due = [stub for stub, since in self._since.items() if now >= since + _WAITED_FOR_S]
        self._since |= dict.fromkeys(due, now + _ANSWER_S)
        return bool(due)


class EarlyDeaths:
    """Answers for the stubs that die before they were heard of while a server loads its first models.

    Args:
        server_pid: the process id of ``tritonserver``.
    """

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self._stubs = StubWatch(server_pid)
        self._unheard = UnheardStubs()
        self._next_look = 0.0

    def look(self) -> None:
        """Looks once; call it as often as you like."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_S
        for fault in self._stubs.scan():
            self._unheard.add(fault.stub)
        if self._stubs.command and self._unheard.take_due():
            arguments = (self._server_pid, self._stubs.command)
            threading.Thread(target=answer_for_unheard, args=arguments, name="unheard", daemon=True).start()


def answer_for_unheard(server_pid: int, command: Sequence[str]) -> int:
    """Answers for every stub of a server that is dead and waited for; blocks until that is done.

    Args:
        server_pid: the process id of ``tritonserver``.
        command: the command line of any of its stubs, living or dead.

    Returns:
        For how many.
    """
    try:
        server = psutil.Process(server_pid)
        living, dead = _command_lines(server.children())
        mapped = {Path(entry.path) for entry in server.memory_maps()}
        environment = server.environ()
    except psutil.Error:
        return 0
    # A region that no process has may be of a stub that is only about to be started: an old one is not.
    orphans = [
        region.name
        for region in mapped
        if region.parent == SHARED_MEMORY
        and region.name.startswith(SHM_PREFIX)
        and region.name not in living
        and _age_s(region) > _WAITED_FOR_S
    ]
    if len(orphans) > dead:
        return 0
    for region in orphans:
        _answer(command, region, environment)
    return len(orphans)


def _answer(command: Sequence[str], region: str, environment: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="maas-unheard-") as folder:
        (Path(folder) / "model.py").write_text(_ANSWER)
        arguments = [*command]
        arguments[REGION_ARGUMENT], arguments[RUNTIME_ARGUMENT] = region, folder
        # The server may have ended meanwhile, and what it was started with be gone.
        with contextlib.suppress(subprocess.TimeoutExpired, FileNotFoundError):
            subprocess.run(
                arguments,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_ANSWER_S,
                check=False,
            )


def _command_lines(processes: Iterable[psutil.Process]) -> tuple[str, int]:
    """Those of the living in one text, and how many are dead."""
    living, dead = "", 0
    for process in processes:
        try:
            living += "\n".join(process.cmdline())
        except psutil.ZombieProcess:
            dead += 1
        except psutil.NoSuchProcess:
            continue
    return living, dead


def _age_s(region: Path) -> float:
    try:
        return time.time() - region.stat().st_ctime
    except FileNotFoundError:
        return 0.0
