"""``maas serve --gateway``: a gateway in front of the server, as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from maas_core.crash_loop import CrashLoop
from maas_core.errors import MaasError
from maas_core.events import EventLog
from maas_server.process import describe_exit

_START_TIMEOUT_S = 60.0
_POLL_S = 0.05
_STOP_MARGIN_S = 10.0


@dataclass(frozen=True)
class GatewayOptions:
    """How the gateway is to be reached.

    Attributes:
        port: for HTTP and gRPC; 0 takes a free one.
        keys_required: whether callers need an API key.
        state: folder of its routing, keys and usage; None for the usual one.
    """

    port: int = 8080
    keys_required: bool = True
    state: Path | None = None


class FrontGateway:
    """Runs ``maas gateway`` in front of one server, and passes on what it tells, each event as ``gateway_…``.

    It ends with this process: its stdin is a pipe from it.

    Args:
        options: how it is to be reached.
        http: ``HOST:PORT`` of the server's HTTP endpoint.
        grpc: likewise of gRPC.
        drain_timeout_s: how long requests in flight may take at a stop.
        events: where to tell.
    """

    def __init__(self, options: GatewayOptions, http: str, grpc: str, drain_timeout_s: float, events: EventLog) -> None:
        self._command = [sys.executable, "-m", "maas_core", "gateway", "--json", "--stop-on-eof"]
        self._command += ["--stable-http", http, "--stable-grpc", grpc, "--drain-timeout", str(drain_timeout_s)]
        self._command += [] if options.keys_required else ["--no-keys"]
        self._command += ["--state", str(options.state)] if options.state else []
        self._port = options.port
        self._drain_timeout_s = drain_timeout_s
        self._events = events
        self._crashes = CrashLoop()
        self._start_at = 0.0
        self.url = ""
        self._start()

    def wait_ready(self) -> str:
        """The URL at which callers reach it.

        Raises:
            MaasError: it does not start, in its own words.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._ready.wait(_POLL_S):
            self.tick()
            if time.monotonic() > deadline:
                raise MaasError(f"the gateway is not ready after {_START_TIMEOUT_S:g} s")
        return self.url

    def tick(self) -> None:
        """Starts it again where it ended after it had been ready; to be called often.

        Raises:
            MaasError: it ended before it was ready, in its own words.
        """
        exit_code = self._process.poll()
        if exit_code is None:
            return
        if not self.url:
            self._listener.join()
            raise MaasError(f"the gateway did not start: {self._last_words()}")
        if not self._start_at:
            self._crashes.record(time.monotonic() - self._started_at)
            self._start_at = time.monotonic() + self._crashes.delay_s
            self._events.tell("gateway_ended", f"the gateway ended ({describe_exit(exit_code)}); starting it again")
        elif time.monotonic() >= self._start_at:
            self._start_at = 0.0
            self._start()

    def stop(self, hurry: Callable[[], bool] = lambda: False) -> None:
        """Lets it answer what is in flight, and ends it.

        Args:
            hurry: whether to wait for nothing.
        """
        assert self._process.stdin is not None  # noqa: S101  # a pipe by construction
        self._process.stdin.close()
        deadline = time.monotonic() + self._drain_timeout_s + _STOP_MARGIN_S
        while self._process.poll() is None and time.monotonic() < deadline:
            if hurry():
                self._process.terminate()
            time.sleep(_POLL_S)
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._started_at = time.monotonic()
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self._port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C is for this process alone, which then stops the gateway in order.
            start_new_session=True,
        )
        self._said: list[str] = []
        self._listener = threading.Thread(target=self._listen, args=(self._process,), name="gateway", daemon=True)
        self._listener.start()
        threading.Thread(target=self._relay, args=(self._process.stdout, self._ready), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None  # noqa: S101  # a pipe by construction
        for line in process.stderr:
            self._said = [*self._said[-20:], line.strip()]

    def _relay(self, lines: IO[str], ready: threading.Event) -> None:
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            name, words = event.pop("event"), event.pop("message")
            event.pop("time")
            if name == "ready":
                self.url = event["url"]
                # The same one after it was started again: callers know it.
                self._port = int(self.url.rpartition(":")[2])
                ready.set()
            self._events.tell(f"gateway_{name}", words, **event)

    def _last_words(self) -> str:
        return next((line.removeprefix("maas gateway: ") for line in reversed(self._said) if line), "it said nothing")
