"""``maas gateway``: keeps one Envoy in front of the servers running."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from maas_client.ownership import owner_tag
from maas_core.crash_loop import CrashLoop
from maas_core.errors import MaasError, NotReachable, WrongUse
from maas_core.events import EventLog
from maas_core.ports import LOOPBACK, PortHold
from maas_gateway.admission import prepare
from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.bootstrap import write_bootstrap
from maas_gateway.comparison_sink import ComparisonSink
from maas_gateway.envoy_admin import EnvoyAdmin
from maas_gateway.envoy_process import EnvoyProcess, envoy_path, validate
from maas_gateway.listener import listener
from maas_gateway.metering import rotate_if_due
from maas_gateway.routing import Routing, Upstream, read_revision, read_routing, wait_applied, write_routing
from maas_gateway.settings import ProxySettings, write_proxy_settings
from maas_gateway.state import GatewayState, published
from maas_gateway.tls import TlsFiles, write_secrets

_TICK_S = 0.1
_ROTATION_S = 60.0
_START_TIMEOUT_S = 30.0
_EXIT_TIMEOUT_S = 5.0
_REFUSE_AFTER_S = 1
"""So long new connections are still taken after a stop was asked for, so that a balancer in front may notice."""


@dataclass(frozen=True)
class GatewaySettings:
    """What to run, and how.

    Attributes:
        state_dir: its files: routing, keys, usage, differences, log.
        stable: the server that answers; ``None`` for the one of the routing that lies in ``state_dir``.
        port: 0 takes a free one.
        admin_port: likewise; Envoy's administration, on loopback.
        listen: what callers reach it on.
        tls: certificates; none for plain text.
        drain_timeout_s: how long requests in flight may take at a stop.
    """

    state_dir: Path
    admission: AdmissionSettings
    stable: Upstream | None = None
    port: int = 8080
    admin_port: int = 0
    listen: str = LOOPBACK
    tls: TlsFiles | None = None
    proxy: ProxySettings = field(default_factory=ProxySettings)
    drain_timeout_s: float = 30.0


class Supervisor:
    """Runs the gateway until it is asked to stop.

    Args:
        settings: what to run, and how.
        events: where to tell what happens.
    """

    def __init__(self, settings: GatewaySettings, events: EventLog) -> None:
        self._settings = settings
        self._events = events
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._crashes = CrashLoop()
        self._envoy: EnvoyProcess | None = None

    def request_stop(self) -> None:
        """Asks it to drain and stop; the second time, to hurry. Safe in a signal handler."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def run(self) -> None:
        """Runs until :meth:`request_stop`.

        Raises:
            MaasError: where it could not start: port, certificates, servers, or Envoy itself.
        """
        settings = self._settings
        program = envoy_path()
        if settings.tls is not None:
            settings.tls.check()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(_only_gateway_of(settings.state_dir))
            self._prepare_routing()
            sink = stack.enter_context(ComparisonSink(settings.state_dir))
            ports = self._hold_ports(stack)
            self._admin = EnvoyAdmin(f"http://{LOOPBACK}:{ports['admin']}")
            bootstrap = self._write_bootstrap(ports, sink)
            validate(program, bootstrap)
            state = self._state(ports)
            stack.callback(self._end)
            self._envoy = self._start(program, bootstrap)
            stack.enter_context(published(settings.state_dir, state))
            wait_applied(settings.state_dir, read_revision(settings.state_dir), _START_TIMEOUT_S)
            self._tell_ready(state)
            next_rotation = time.monotonic()
            while not self._stop.is_set():
                if (exit_code := self._envoy.wait(_TICK_S)) is not None:
                    self._start_again(program, bootstrap, exit_code)
                if time.monotonic() >= next_rotation:
                    next_rotation = time.monotonic() + _ROTATION_S
                    self._rotate(self._envoy)
            self._drain()

    def _prepare_routing(self) -> None:
        settings = self._settings
        write_proxy_settings(settings.state_dir, settings.proxy)
        known = read_routing(settings.state_dir) if read_revision(settings.state_dir) else None
        if settings.stable is None and known is None:
            raise WrongUse("no server to stand in front of is known", "give --stable-http and --stable-grpc")
        if known is None:
            assert settings.stable is not None  # noqa: S101  # asked for above
            known = Routing(stable=settings.stable)
        elif settings.stable is not None:
            known = known.model_copy(update={"stable": settings.stable})
        write_routing(settings.state_dir, known)

    def _hold_ports(self, stack: ExitStack) -> dict[str, int]:
        callers = PortHold({"gateway": self._settings.port}, self._settings.listen, option="--port")
        stack.callback(callers.release)
        admin = PortHold({"admin": self._settings.admin_port})
        stack.callback(admin.release)
        return callers.ports | admin.ports

    def _write_bootstrap(self, ports: dict[str, int], sink: ComparisonSink) -> Path:
        settings = self._settings
        if settings.tls is not None:
            write_secrets(settings.state_dir, settings.tls)
        prepare(settings.admission)
        reached = listener(settings.listen, ports["gateway"], settings.state_dir, settings.admission, settings.tls)
        return write_bootstrap(settings.state_dir, reached, ports["admin"], sink.ports, settings.admission)

    def _start(self, program: Path, bootstrap: Path) -> EnvoyProcess:
        envoy = EnvoyProcess(program, bootstrap, self._settings.state_dir / "envoy.log", _REFUSE_AFTER_S)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._admin.is_ready():
            exit_code = envoy.wait(_TICK_S / 2)
            if exit_code is not None or time.monotonic() > deadline:
                envoy.stop(_EXIT_TIMEOUT_S)
                raise envoy.start_failed(exit_code)
        self._started_at = time.monotonic()
        return envoy

    def _start_again(self, program: Path, bootstrap: Path, exit_code: int) -> None:
        self._events.tell("envoy_ended", f"Envoy ended (exit code {exit_code}); starting it again", exit_code=exit_code)
        lived_s = time.monotonic() - self._started_at
        while True:
            self._crashes.record(lived_s)
            if self._stop.wait(self._crashes.delay_s):
                return
            try:
                self._envoy = self._start(program, bootstrap)
            except MaasError as error:
                self._events.tell("envoy_not_started", f"Envoy does not start again: {error.message}")
                lived_s = 0.0
                continue
            self._events.tell("envoy_back", "Envoy is back", envoy_pid=self._envoy.pid)
            return

    def _rotate(self, envoy: EnvoyProcess) -> None:
        try:
            rotate_if_due(self._settings.admission, envoy.reopen_logs)
        except OSError as error:
            # A full disk is no reason to answer nobody.
            self._events.tell("not_rotated", f"metering lines cannot be set aside: {error}")

    def _drain(self) -> None:
        """Refuses new connections, lets those that are open end with an answer, and waits for those answers."""
        self._events.tell("draining", "stopping: new connections are refused, requests in flight are answered")
        in_flight = self._await_answers(time.monotonic() + self._settings.drain_timeout_s)
        words = "stopped"
        if in_flight is None:
            words += "; Envoy does not say whether requests in flight were answered"
        elif in_flight:
            words += f"; {in_flight} requests in flight were not answered"
        self._events.tell("stopped", words, all_answered=in_flight == 0)

    def _await_answers(self, deadline: float) -> int | None:
        """How many requests are left without an answer; None where Envoy ended, or does not say."""
        assert self._envoy is not None  # noqa: S101  # started before
        refused_at = None
        while True:
            try:
                if refused_at is None:
                    self._admin.refuse_connections()
                    refused_at = time.monotonic() + _REFUSE_AFTER_S
                in_flight: int | None = self._admin.requests_in_flight()
            except NotReachable:
                # Busy rather than gone: it is asked again.
                in_flight = None
            now = time.monotonic()
            done = in_flight == 0 and refused_at is not None and now >= refused_at
            if done or now >= deadline or self._hurry.is_set() or self._envoy.wait(0) is not None:
                return in_flight
            self._hurry.wait(_TICK_S)

    def _end(self) -> None:
        if self._envoy is not None:
            self._envoy.stop(_EXIT_TIMEOUT_S)

    def _state(self, ports: dict[str, int]) -> GatewayState:
        settings = self._settings
        secure = "s" if settings.tls is not None else ""
        address = f"{settings.listen}:{ports['gateway']}"
        return GatewayState(
            url=f"http{secure}://{address}",
            grpc=f"grpc{secure}://{address}",
            admin=f"http://{LOOPBACK}:{ports['admin']}",
            pid=os.getpid(),
            owner=owner_tag(),
        )

    def _tell_ready(self, state: GatewayState) -> None:
        assert self._envoy is not None  # noqa: S101  # started before
        routing = read_routing(self._settings.state_dir)
        lines = [
            f"gateway in front of {routing.stable.http}",
            f"  HTTP, gRPC  {state.url}",
            f"  state       {self._settings.state_dir}",
        ]
        self._events.tell(
            "ready",
            "\n".join(lines),
            url=state.url,
            grpc=state.grpc,
            admin=state.admin,
            state=str(self._settings.state_dir),
            pid=state.pid,
            envoy_pid=self._envoy.pid,
        )


@contextmanager
def _only_gateway_of(state_dir: Path) -> Iterator[None]:
    """Holds the folder: two gateways over one would serve each other's routing.

    Raises:
        WrongUse: where another one holds it.
    """
    with (state_dir / "gateway.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WrongUse(f"a gateway runs over {state_dir} already", "stop it, or give another --state") from error
        yield
