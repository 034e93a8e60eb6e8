"""One Prometheus endpoint for Triton's metrics and the supervisor's own."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest

from maas_core.errors import PortTaken
from maas_core.ports import LOOPBACK

_FETCH_TIMEOUT_S = 2.0


class SupervisorMetrics:
    """What happened to the server and its models since the supervisor started."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.up = Gauge("maas_supervisor_triton_up", "Whether tritonserver answers", registry=self._registry)
        self.restarts = Counter("maas_supervisor_restarts", "Times tritonserver was restarted", registry=self._registry)
        self.reloads = Counter(
            "maas_supervisor_reloads", "Times a model was loaded anew", ["model"], registry=self._registry
        )
        self.stub_deaths = Counter(
            "maas_supervisor_stub_deaths",
            "Stubs that died or were stopped",
            ["model", "fault"],
            registry=self._registry,
        )
        self.failed_models = Gauge(
            "maas_supervisor_failed_models", "Models that should serve and do not", registry=self._registry
        )

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class MetricsServer:
    """Serves ``/metrics``: Triton's, fetched at that moment, followed by the supervisor's.

    While Triton is down the supervisor's are served alone, so that its end can be seen.

    Args:
        metrics: the supervisor's.
        address: what to listen on.
        port: 0 takes a free one.

    Raises:
        PortTaken: where something listens there.
    """

    def __init__(self, metrics: SupervisorMetrics, address: str, port: int) -> None:
        self._metrics = metrics
        self.triton_port: int | None = None
        try:
            self._server = ThreadingHTTPServer((address, port), self._handler())
        except OSError as error:
            raise PortTaken(
                f"metrics port {port} on {address} cannot be used ({error.strerror})",
                "stop what listens there, or give another port with --metrics-port (0 takes a free one)",
            ) from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()

    def text(self) -> bytes:
        """All metrics."""
        return self._triton_text() + self._metrics.text()

    def _triton_text(self) -> bytes:
        if self.triton_port is None:
            return b""
        connection = http.client.HTTPConnection(LOOPBACK, self.triton_port, timeout=_FETCH_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()
        return body if answer.status == http.client.OK else b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        text = self.text

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(http.client.NOT_FOUND, "metrics are at /metrics")
                    return
                body = text()
                self.send_response(http.client.OK)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's own name
                """Scrapes are not worth a line each."""

        return Handler
