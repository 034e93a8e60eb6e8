"""Running a scenario from outside: Locust as a process of its own, its events, its end.

Locust patches the standard library for gevent as soon as it is imported. A process of its own keeps that away from
whoever wants a load test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from maas_client._cli.options import API_KEY
from maas_core.errors import ExitCode, MaasError, NotHeld, NotReachable, WrongUse
from maas_core.ports import LOOPBACK, PortHold
from maas_loadtest.settings import OPTIONS, checked
from maas_loadtest.validity import NotValid

EVENTS_FD = "MAAS_LOAD_EVENTS_FD"
"""The environment's name of the file descriptor for JSON lines about the run."""
COMMAND = "MAAS_LOAD_COMMAND"
"""The environment's name of the command line that the report shows."""
_END_TIMEOUT_S = 90.0
_PLAN_TIMEOUT_S = 300.0
"""Until the plan is made, workers on other machines included; and as much longer than planned the run may last."""
_SAID_CHARACTERS = 300

_ERROR_OF: Mapping[int, type[MaasError]] = {
    ExitCode.WRONG_USE: WrongUse,
    ExitCode.NOT_REACHABLE: NotReachable,
    ExitCode.NOT_VALID: NotValid,
}

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Crew:
    """Who sends.

    Attributes:
        processes: on this machine; with 0 the one that plans also sends.
        remote_workers: wait for so many that others start: ``locust -f SCENARIO --worker --master-host …``.
        listen: where they connect to, HOST:PORT.
        web_port: of Locust's page on 127.0.0.1; 0 is none.
    """

    processes: int = 0
    remote_workers: int = 0
    listen: str = f"{LOOPBACK}:5557"
    web_port: int = 0


def scenarios_dir() -> Path:
    """The scenarios that come with this package, in a source checkout or in an installed wheel."""
    spec = importlib.util.find_spec("maas_loadtest")
    if spec is None or spec.origin is None:
        raise MaasError("the scenarios are missing", "pip install 'triton-maas[loadtest]'")
    package = Path(spec.origin).parent
    installed = package / "scenarios"
    return installed if installed.is_dir() else package.parent / "scenarios"


def scenario_names() -> list[str]:
    """All of them."""
    return sorted(path.stem for path in scenarios_dir().glob("[a-z]*.py"))


def scenario_file(name: str) -> Path:
    """The Locust file of a scenario, by its name or its own path.

    Raises:
        WrongUse: there is none.
    """
    own = Path(name)
    if own.suffix == ".py" and own.is_file():
        return own
    if name not in scenario_names():
        raise WrongUse(
            f"{name!r} is no scenario", f"choose one of {', '.join(scenario_names())}, or name a Locust file"
        )
    return scenarios_dir() / f"{name}.py"


def run_scenario(name: str, options: Mapping[str, Any], *, crew: Crew, tell: Tell, command: str = "") -> Path:
    """Runs a scenario to its end.

    Args:
        name: of the scenario, or the path of a Locust file.
        options: values by name, see :data:`maas_loadtest.settings.OPTIONS`; None is not given.
        crew: who sends.
        tell: gets the events of the run, see :class:`maas_loadtest.coordinator.Coordinator`.
        command: for the report: what was typed.

    Returns:
        The path of ``report.json``.

    Raises:
        MaasError: there is no report; with the exit code of the reason.
    """
    path = scenario_file(name)
    checked(options, {})
    arguments = [sys.executable, "-m", "locust", "-f", str(path), "--only-summary", "--loglevel", "WARNING"]
    for option in OPTIONS:
        # The key stays out of the process list.
        if options.get(option.name) is not None and option.name != "api_key":
            arguments.append(f"{option.flag}={options[option.name]}")
    environment = {**os.environ, COMMAND: command}
    if options.get("api_key"):
        environment[API_KEY] = str(options["api_key"])
    try:
        with contextlib.ExitStack() as held, tempfile.TemporaryFile("w+") as words:
            last = _run([*arguments, *_crew_arguments(crew, held)], environment, words, tell)
            words.seek(0)
            said = words.read().strip().splitlines()
    except OSError as error:
        raise NotValid(f"the run can not be started: {error.strerror or error}", "make room in TMPDIR") from error
    if last.get("event") == "report":
        return Path(last["path"])
    if last.get("event") == "failed":
        raise _ERROR_OF.get(last["exit_code"], NotHeld)(str(last["message"]))
    raise NotValid(f"Locust ended without a report: {said[-1][:_SAID_CHARACTERS] if said else 'it said nothing'}")


def _crew_arguments(crew: Crew, held: contextlib.ExitStack) -> list[str]:
    """What they name is theirs until ``held`` is closed."""
    arguments = []
    if crew.web_port:
        arguments += ["--autostart", "--autoquit=1", f"--web-host={LOOPBACK}", f"--web-port={crew.web_port}"]
    else:
        arguments.append("--headless")
    if crew.remote_workers:
        host, colon, port = crew.listen.rpartition(":")
        if not colon or not port.isdigit():
            raise WrongUse(f"--listen is {crew.listen!r}", "write HOST:PORT")
        arguments += ["--master", f"--expect-workers={crew.remote_workers}", "--expect-workers-max-wait=120"]
        arguments += [f"--master-bind-host={host}", f"--master-bind-port={port}"]
    elif crew.processes:
        # By default Locust's master listens on all addresses and on one port for everybody. It listens only seconds
        # after its start: nobody else may be given the port meanwhile. ZeroMQ sets SO_REUSEADDR, as a hold wants it.
        hold = PortHold({"master": 0})
        held.callback(hold.release)
        own = hold.ports["master"]
        arguments += [f"--processes={crew.processes}", f"--master-bind-host={LOOPBACK}", f"--master-bind-port={own}"]
        arguments += [f"--master-host={LOOPBACK}", f"--master-port={own}"]
    return arguments


def _run(arguments: Sequence[str], environment: Mapping[str, str], words: IO[str], tell: Tell) -> Mapping[str, Any]:
    """The last event."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as events:
        try:
            # A session of its own: Ctrl-C reaches Locust once, from here, and not each of its workers at the same time.
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                env={**environment, EVENTS_FD: str(writing)},
                pass_fds=(writing,),
                start_new_session=True,
            )
        finally:
            os.close(writing)
        with _passing_signals_on(process), _limit(process) as extend:
            last = _read(events, tell, extend)
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return last


@contextlib.contextmanager
def _limit(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], None]]:
    """Ends a process that does not come to its end; what comes back sets the time anew."""
    timer: threading.Timer | None = None

    def extend(seconds: float) -> None:
        nonlocal timer
        if timer is not None:
            timer.cancel()
        timer = threading.Timer(seconds, os.killpg, [process.pid, signal.SIGKILL])
        timer.daemon = True
        timer.start()

    extend(_PLAN_TIMEOUT_S)
    try:
        yield extend
    finally:
        if timer is not None:
            timer.cancel()


def _read(events: IO[str], tell: Tell, extend: Callable[[float], None]) -> Mapping[str, Any]:
    last: Mapping[str, Any] = {}
    for line in events:
        last = json.loads(line)
        if last["event"] == "planned":
            extend(last["duration_s"] + last["warmup_s"] + last["drain_s"] + _PLAN_TIMEOUT_S)
        tell(last)
        # Workers that were forked hold the pipe open until they end.
        if last["event"] in ("report", "failed"):
            break
    return last


@contextlib.contextmanager
def _passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The first signal ends the run, whose report is still written; the second one ends everything."""
    count = 0

    def pass_on(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if process.poll() is None:
            if count == 1:
                process.send_signal(number)
            else:
                os.killpg(process.pid, signal.SIGKILL)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
