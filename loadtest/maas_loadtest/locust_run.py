"""Between Locust and a run: options, events, messages, and the way in which Locust counts response times.

Everything goes by Locust's own extension points, so that a scenario runs with plain ``locust -f`` as well, with its
page, with ``--processes``, and with masters and workers on several machines.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any

import click
import gevent
import locust.stats
from locust import events
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

from maas_client._cli.options import API_KEY
from maas_loadtest.coordinator import Coordinator
from maas_loadtest.generator import Generator
from maas_loadtest.histogram import bucket_ms
from maas_loadtest.run import EVENTS_FD
from maas_loadtest.scenario import Scenario
from maas_loadtest.settings import OPTIONS, checked

_POLL_S = 1.0
_ORDERLY_END_S = 30.0


class LocustRun:
    """One scenario in one process of Locust: coordinator, generator, or both.

    Args:
        scenario: what runs.
        environment: Locust's.
    """

    def __init__(self, scenario: Scenario, environment: Any) -> None:
        self._environment = environment
        runner = environment.runner
        self._tell = _teller() if not isinstance(runner, WorkerRunner) else _silent
        self.generator = Generator(runner.send_message, environment.events.request.fire)
        self.coordinator: Coordinator | None = None
        if not isinstance(runner, MasterRunner):
            runner.register_message("load_plan", lambda environment, msg: self.generator.on_plan(msg.data))
            runner.register_message("load_begin", lambda environment, msg: self.generator.on_begin(msg.data))
        if not isinstance(runner, WorkerRunner):
            settings = checked(vars(environment.parsed_options), scenario.defaults)
            self.coordinator = Coordinator(scenario, settings, _Crew(runner), self._tell)
            for name in ("load_ready", "load_part", "load_done"):
                runner.register_message(name, self._listener(name))

    def _listener(self, name: str) -> Any:
        def listen(environment: Any, msg: Any) -> None:
            assert self.coordinator is not None  # noqa: S101  # registered only with one
            self.coordinator.on_message(name, str(msg.node_id), msg.data)

        return listen

    def users_wanted(self) -> int | None:
        """For the shape: None when the run is over."""
        return self.coordinator.users_wanted() if self.coordinator else None

    def on_test_start(self) -> None:
        """Workers wait for the plan, everybody else makes it."""
        if self.coordinator is not None:
            self.coordinator.start()

    def on_test_stopping(self) -> None:
        """Before the users are stopped: what was seen is not lost."""
        self.generator.hand_over()
        if self.coordinator is not None:
            self.coordinator.stop()
            self._environment.process_exit_code = self.coordinator.exit_code

    def on_test_stop(self) -> None:
        """After the users were stopped."""
        if self.coordinator is not None:
            self.coordinator.rearm()

    def on_quitting(self) -> None:
        """The exit code is Locust's to give."""
        if self.coordinator is not None:
            self._environment.process_exit_code = self.coordinator.exit_code
        self.generator.close()


class _Crew:
    """The workers, as the coordinator sees them."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def names(self) -> list[str]:
        """Of those that are there."""
        if isinstance(self._runner, LocalRunner):
            return ["local"]
        clients = self._runner.clients
        return sorted(one.id for one in (*clients.ready, *clients.spawning, *clients.running))

    def send(self, name: str, data: Any, worker: str | None = None) -> None:
        """To one worker, or to all."""
        self._runner.send_message(name, data, client_id=worker)


def install(scenario: Scenario) -> None:
    """Makes Locust know the scenario's options and run it."""
    locust.stats.bucket_response_time = bucket_ms  # type: ignore[assignment]  # Locust's documented hook; finer than int

    def add_options(parser: Any) -> None:
        for option in OPTIONS:
            # All as text: one place checks them. Secrets do not show up on Locust's page.
            secret = {"env_var": API_KEY, "is_secret": True} if option.name == "api_key" else {}
            parser.add_argument(option.flag, dest=option.name, help=option.help.replace("%", "%%"), **secret)

    def on_init(environment: Any, **_: Any) -> None:
        try:
            scenario.run = LocustRun(scenario, environment)
        except click.ClickException as error:
            click.echo(f"{scenario.name}: {error.format_message()}", err=True)
            sys.exit(error.exit_code)

    def on_test_start(environment: Any, **_: Any) -> None:
        scenario.running.on_test_start()

    def on_test_stopping(environment: Any, **_: Any) -> None:
        scenario.running.on_test_stopping()

    def on_test_stop(environment: Any, **_: Any) -> None:
        scenario.running.on_test_stop()

    def on_quitting(environment: Any, **_: Any) -> None:
        scenario.running.on_quitting()

    hooks: Any = events  # Locust's annotations leave add_listener untyped
    hooks.init_command_line_parser.add_listener(add_options)
    hooks.init.add_listener(on_init)
    hooks.test_start.add_listener(on_test_start)
    hooks.test_stopping.add_listener(on_test_stopping)
    hooks.test_stop.add_listener(on_test_stop)
    hooks.quitting.add_listener(on_quitting)


def _silent(event: dict[str, Any]) -> None:
    """A worker tells nothing but to its master."""


def _teller() -> Any:
    """Where the run's events go: to the parent's pipe, or as lines to people."""
    descriptor = os.environ.get(EVENTS_FD)
    if descriptor is None:
        return _to_people
    gevent.spawn(_end_with, os.getppid())
    pipe = os.fdopen(int(descriptor), "w", encoding="utf-8")

    def tell(event: dict[str, Any]) -> None:
        # Without a reader the parent is gone, which ends this process in a moment.
        with contextlib.suppress(BrokenPipeError):
            pipe.write(json.dumps(event) + "\n")
            pipe.flush()

    return tell


def _end_with(parent: int) -> None:
    """Who wanted this load is gone: nobody would stop it. Locust ends in order on SIGTERM."""
    while os.getppid() == parent:
        gevent.sleep(_POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    gevent.sleep(_ORDERLY_END_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _to_people(event: dict[str, Any]) -> None:
    if event["event"] == "failed":
        click.echo(f"maas load: {event['message']}", err=True)
    elif event["event"] == "report":
        for reason in event["reasons"]:
            click.echo(f"  {reason}", err=True)
        click.echo(f"{event['status']}: {event['path']}", err=True)
