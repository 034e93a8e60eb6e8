"""``maas serve``: keeps one server over one view running, and its models served."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from maas_client.ownership import owner_tag
from maas_core.crash_loop import CRASH_LIMIT, CrashLoop
from maas_core.errors import MaasError
from maas_core.events import EventLog
from maas_core.layout import view_dir
from maas_core.ports import LOOPBACK, choose_ports
from maas_core.releases import ReleaseWatch
from maas_server.drain import drain
from maas_server.embedded import new_log_path
from maas_server.ensembles import with_steps
from maas_server.errors import StartCancelled, StartFailed
from maas_server.front_gateway import FrontGateway, GatewayOptions
from maas_server.launcher import Launcher, RunningTriton
from maas_server.leftovers import own_shm_prefix, remove_leftovers
from maas_server.metrics import MetricsServer, SupervisorMetrics
from maas_server.reporter import Reporter
from maas_server.repository_watch import RepositoryWatch
from maas_server.run import Run
from maas_server.served_view import ServedView
from maas_server.shared_memory import keep_private
from maas_server.state_file import ServeState, make_token, only_server_of, token_path

_TICK_S = 0.1
_WATCH_S = 0.5
_FIRST_SETTLE_S = 1.0
_LONGEST_SETTLE_S = 8.0


@dataclass(frozen=True)
class ServeSettings:
    """What to serve, and how.

    Attributes:
        repository: the model repository.
        view: the name of the view that is served.
        models: the models to serve; all by default.
        http_port: 0 takes a free one.
        grpc_port: likewise.
        metrics_port: likewise; Triton's metrics and the supervisor's.
        listen: the address that all three listen on.
        tritonserver: the server to run; by default the one on ``PATH``, else the wheel's.
        watch: take over new versions and changed configurations. What the release journals say is always followed.
        pinned: versions that are served whatever the release journals say.
        allow_shared_memory: let every caller on this machine register shared memory.
        load_timeout_s: how long a model may take to load.
        drain_timeout_s: how long requests in flight may take when the server, or an instance, is to end.
        gateway: what stands in front of it; nothing by default.
    """

    repository: Path
    view: str = "stable"
    models: Sequence[str] | None = None
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002
    listen: str = LOOPBACK
    tritonserver: Path | None = None
    watch: bool = False
    pinned: Mapping[str, int] = field(default_factory=dict)
    allow_shared_memory: bool = False
    load_timeout_s: float = 120.0
    drain_timeout_s: float = 30.0
    gateway: GatewayOptions | None = None


@dataclass
class _StopRequest:
    """What the signals asked for."""

    stop: threading.Event = field(default_factory=threading.Event)
    hurry: threading.Event = field(default_factory=threading.Event)


class Supervisor:
    """Serves until it is asked to stop.

    Args:
        settings: what to serve, and how.
        events: where to tell what happens.
    """

    def __init__(self, settings: ServeSettings, events: EventLog) -> None:
        self._settings = settings
        self._events = events
        self._request = _StopRequest()
        self._view = view_dir(settings.view)
        self._server_loop = CrashLoop()
        self._stub_loops: dict[str, CrashLoop] = {}
        self._left_out: dict[str, str] = {}
        self._suspect: str | None = None
        self._overdue: frozenset[str] = frozenset()
        self._shown = ServedView(
            settings.repository, self._view, settings.models, self._left_out, events, settings.pinned
        )
        self._began = time.monotonic()
        self._was_ready = False
        self._gateway: FrontGateway | None = None
        self._change_waits = False
        self._release_waits = False
        self._not_taken_over = ""

    def request_stop(self) -> None:
        """Asks it to drain and stop; the second time, to hurry. Safe in a signal handler."""
        if self._request.stop.is_set():
            self._request.hurry.set()
        self._request.stop.set()

    def run(self) -> None:
        """Serves until :meth:`request_stop`.

        Raises:
            MaasError: where it could not start: repository, port, environment, or the server itself.
        """
        settings = self._settings
        with ExitStack() as stack:
            stack.enter_context(only_server_of(settings.view))
            remove_leftovers()
            self._releases = ReleaseWatch(settings.repository)
            self._shown.build()
            token = make_token(settings.view)
            stack.callback(token_path(settings.view).unlink, missing_ok=True)
            self._launcher = Launcher(
                self._view,
                new_log_path(settings.view),
                ports={"http": settings.http_port, "grpc": settings.grpc_port, "metrics": 0},
                tritonserver=settings.tritonserver,
                token=token,
                allow_shared_memory=settings.allow_shared_memory,
                address=settings.listen,
                exit_timeout_s=settings.drain_timeout_s,
            )
            stack.callback(self._launcher.close)
            ended = threading.Event()
            stack.callback(ended.set)
            keep_private(own_shm_prefix(), ended)
            metrics = SupervisorMetrics()
            asked = choose_ports({"metrics": settings.metrics_port}, settings.listen)
            self._metrics = MetricsServer(metrics, settings.listen, asked["metrics"])
            stack.callback(self._metrics.close)
            self._reporter = Reporter(self._events, metrics, self._first_state())
            stack.callback(self._reporter.close)
            self._watch = RepositoryWatch(settings.repository) if settings.watch else None
            words = (
                f"starting tritonserver ({self._launcher.binary.origin}) with {', '.join(self._wanted) or 'no model'}"
            )
            self._events.tell("starting", words, models=self._wanted, tritonserver=str(self._launcher.binary.path))
            if settings.gateway is not None:
                self._gateway = self._start_gateway(settings.gateway, stack)
            self._supervise()

    def _start_gateway(self, options: GatewayOptions, stack: ExitStack) -> FrontGateway:
        ports = self._launcher.ports
        http, grpc = (f"{LOOPBACK}:{ports[protocol]}" for protocol in ("http", "grpc"))
        gateway = FrontGateway(options, http, grpc, self._settings.drain_timeout_s, self._events)
        stack.callback(gateway.stop)
        return gateway

    def _supervise(self) -> None:
        ended_at: float | None = None
        while not self._request.stop.wait(self._server_loop.delay_s if ended_at is not None else 0.0):
            running = self._start()
            ended_at = ended_at or time.monotonic()
            if running is None:
                continue
            run = self._run_of(running)
            try:
                self._watch_over(run, ended_at)
                if running.process.exit_code() is None:
                    self._stop(run)
                    return
                ended_at = time.monotonic()
                lived_s = ended_at - run.ready_at if run.ready_at is not None else 0.0
                self._note_crash(self._launcher.describe_end(running), run.loading, lived_s)
                self._shown.refuse_all("the server ended before it was known to load")
            finally:
                run.close()
                running.process.kill()

    @property
    def _one_by_one(self) -> bool:
        """From the second crash in a row on: two more then tell which model it is."""
        return self._server_loop.count >= CRASH_LIMIT - 1

    @property
    def _wanted(self) -> list[str]:
        return [model for model in self._shown.versions if model not in self._left_out]

    def _start(self) -> RunningTriton | None:
        """Starts a server; nothing where it did not come up, which is noted.

        Raises:
            StartFailed: where none was up before, and it is no model's fault.
        """
        models = [] if self._one_by_one else self._wanted
        overdue, self._overdue = self._overdue, frozenset()
        try:
            return self._launcher.start(models, self._settings.load_timeout_s, self._request.stop.is_set)
        except StartCancelled:
            return None
        except StartFailed as error:
            if not error.loading and not self._was_ready:
                raise
            if error.timed_out and error.loading:
                self._note_time_out(error.loading, overdue)
            else:
                self._note_crash(error.message, error.loading, 0.0)
            return None

    def _note_time_out(self, loading: frozenset[str], overdue: frozenset[str]) -> None:
        # Triton 2.51 itself, too, now and then never ends a load: it takes a second start in a row to blame the model.
        after_s = self._settings.load_timeout_s
        for model in sorted(loading & overdue):
            self._leave_out(model, f"it was still loading after {after_s:g} s, at two starts in a row")
        self._overdue = loading - overdue
        if self._overdue:
            self._reporter.start_timed_out(self._overdue, after_s)

    def _run_of(self, running: RunningTriton) -> Run:
        self._metrics.triton_port = self._launcher.ports["metrics"]
        self._reporter.triton_started(running.process.pid)
        run = Run(
            running,
            self._view,
            load_timeout_s=self._settings.load_timeout_s,
            retire_after_s=self._settings.drain_timeout_s,
            loops=self._stub_loops,
            left_out=self._left_out,
            refused=self._shown.refused,
            reporter=self._reporter,
        )
        settle_s = min(_FIRST_SETTLE_S * 2.0 ** (self._server_loop.count - CRASH_LIMIT + 1), _LONGEST_SETTLE_S)
        run.begin(self._wanted, settle_s if self._one_by_one else None)
        return run

    def _watch_over(self, run: Run, ended_at: float) -> None:
        """Returns when the server has ended or a stop was asked for."""
        next_look = time.monotonic() + _WATCH_S
        told = False
        while run.running.process.wait(_TICK_S) is None and not self._request.stop.is_set():
            run.tick()
            if self._gateway is not None:
                self._gateway.tick()
            self._settle_changes(run)
            if run.ready_at is not None and not told:
                told = True
                self._tell_ready(run, ended_at)
            if told and time.monotonic() >= next_look:
                next_look = time.monotonic() + _WATCH_S
                self._look_for_changes()
                if (self._change_waits or self._release_waits) and not run.is_loading:
                    only_releases = not self._change_waits
                    self._change_waits = self._release_waits = False
                    self._take_over_changes(run, only_releases=only_releases)

    def _look_for_changes(self) -> None:
        if self._watch is not None:
            self._change_waits |= self._watch.has_settled_change()
        try:
            self._release_waits |= self._releases.has_change()
        except MaasError as error:
            self._events.tell("not_taken_over", f"what is released cannot be read: {error.message}")

    def _note_crash(self, how: str, loading: frozenset[str], lived_s: float) -> None:
        # One crash may have any cause, e.g. a request: it takes a second one at the same model to blame it.
        alone = next(iter(loading)) if self._one_by_one and len(loading) == 1 else None
        self._server_loop.record(lived_s)
        if alone is not None and alone == self._suspect:
            self._leave_out(alone, "twice in a row the server ended while it was the only one being loaded")
            self._server_loop.reset()
            alone = None
        self._suspect = alone
        remove_leftovers()
        self._reporter.phase("restarting")
        self._reporter.triton_ended(how, loading, self._server_loop.delay_s)

    def _leave_out(self, model: str, reason: str) -> None:
        """Leaves a model out, and those that need it: Triton would load it with an ensemble that it is a step of."""
        reasons = {
            needing: f"it needs {model}, which is left out"
            for needing in self._wanted
            if model in with_steps(self._view, [needing])
        }
        for left_out, why in {**reasons, model: reason}.items():
            self._left_out[left_out] = why
            self._reporter.left_out(left_out, why)

    def _comes_back(self, changed: Sequence[str]) -> list[str]:
        """What was left out and needs a changed model, and nothing that stays left out."""
        needs = {model: set(with_steps(self._view, [model])) for model in self._left_out if model not in changed}
        back = {model for model, needed in needs.items() if not needed.isdisjoint(changed)}
        stays = needs.keys() - back
        return sorted(model for model in back if needs[model].isdisjoint(stays))

    def _stop(self, run: Run) -> None:
        self._reporter.phase("draining")
        self._events.tell("draining", "stopping: new requests are refused, those in flight are answered")
        if self._gateway is not None:
            # First, so that it sends nothing to a server that already refuses.
            self._gateway.stop(self._request.hurry.is_set)
        answered = drain(run.running, self._view, self._settings.drain_timeout_s, self._request.hurry.is_set)
        words = "stopped" if answered else "stopped; some requests in flight were not answered"
        self._events.tell("stopped", words, all_answered=answered)

    def _take_over_changes(self, run: Run, *, only_releases: bool) -> None:
        try:
            changes = self._shown.take_over(run.models, only_releases=only_releases)
        except (MaasError, OSError) as error:
            # A full disk may have room again: what is released is looked at again, and told once.
            self._release_waits = isinstance(error, OSError)
            why = error.message if isinstance(error, MaasError) else str(error)
            if why != self._not_taken_over:
                self._events.tell("not_taken_over", f"the repository changed but is not taken over: {why}")
            self._not_taken_over = why
            return
        self._not_taken_over = ""
        for model in changes.removed:
            self._stub_loops.pop(model, None)
            if self._left_out.pop(model, None) is None:
                run.unload(model)
            self._events.tell("removed", f"{model} is gone from the repository and no longer served", model=model)
        for model in [*changes.changed, *self._comes_back(changes.changed)]:
            version = self._shown.versions[model]
            self._left_out.pop(model, None)
            self._stub_loops.pop(model, None)
            self._events.tell("changed", f"{model}: taking over version {version}", model=model, version=version)
            run.load(model, anew=False)

    def _settle_changes(self, run: Run) -> None:
        for model, reason in run.take_outcomes().items():
            if reason:
                self._shown.refuse(model, reason)
            else:
                self._shown.loaded(model)

    def _first_state(self) -> ServeState:
        host, ports = self._settings.listen, self._launcher.ports
        return ServeState(
            view=self._settings.view,
            http=f"http://{host}:{ports['http']}",
            grpc=f"grpc://{host}:{ports['grpc']}",
            metrics=f"http://{host}:{self._metrics.port}/metrics",
            repository=str(self._settings.repository.absolute()),
            owner=owner_tag(),
            pid=os.getpid(),
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            log=str(self._launcher.log_path),
        )

    def _tell_ready(self, run: Run, ended_at: float) -> None:
        self._reporter.phase("serving")
        if self._was_ready:
            self._reporter.triton_back(time.monotonic() - ended_at)
            return
        gateway = self._gateway.wait_ready() if self._gateway is not None else ""
        self._was_ready = True
        state = self._reporter.state
        startup_s = time.monotonic() - self._began
        self._events.tell(
            "ready",
            _in_words(state, startup_s, gateway),
            http=state.http,
            grpc=state.grpc,
            metrics=state.metrics,
            pid=state.pid,
            triton_pid=state.triton_pid,
            models=run.models,
            failed=run.failed,
            startup_s=round(startup_s, 3),
            log=state.log,
            **({"gateway": gateway} if gateway else {}),
        )


def _in_words(state: ServeState, startup_s: float, gateway: str) -> str:
    served = ", ".join(f"{model} {'/'.join(map(str, versions))}" for model, versions in state.models.items())
    lines = [
        f"serving {served or 'no model'} (ready after {startup_s:.1f} s)",
        f"  HTTP     {state.http}",
        f"  gRPC     {state.grpc}",
        f"  metrics  {state.metrics}",
        f"  log      {state.log}",
        *([f"  gateway  {gateway}, for HTTP and gRPC"] if gateway else []),
    ]
    return "\n".join(lines)
