"""The page, its data and the metrics, on one port of 127.0.0.1; it answers reads only."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from maas_core.errors import PortTaken
from maas_core.ports import LOOPBACK
from maas_rollout.views.exported import metrics_text

_FRESH_S = 0.8
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
Snapshot = Callable[[], Mapping[str, Any]]


class WatchServer:
    """Serves ``/`` (the page), ``/state.json`` and ``/metrics``.

    Args:
        snapshot: what to show; asked at most about once a second, however many look.
        port: 0 takes a free one.

    Raises:
        PortTaken: where something listens there.
    """

    def __init__(self, snapshot: Snapshot, port: int) -> None:
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._document: Mapping[str, Any] = {}
        self._taken_s = float("-inf")
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), self._handler())
        except OSError as error:
            raise PortTaken(
                f"port {port} on {LOOPBACK} cannot be used ({error.strerror})",
                "give another --port; 0 takes a free one",
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/"

    def serve(self) -> None:
        """Answers until :meth:`close`."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Ends."""
        self._server.shutdown()
        self._server.server_close()

    def document(self) -> Mapping[str, Any]:
        """The latest snapshot."""
        with self._lock:
            if time.monotonic() - self._taken_s > _FRESH_S:
                self._document = self._snapshot()
                self._taken_s = time.monotonic()
            return self._document

    def _answer(self, path: str) -> tuple[str, bytes] | None:
        if path == "/":
            return "text/html; charset=utf-8", files("maas_rollout.views").joinpath("page.html").read_bytes()
        if path == "/state.json":
            return "application/json", json.dumps(self.document()).encode()
        if path == "/metrics":
            return CONTENT_TYPE_LATEST, metrics_text(self.document())
        return None

    def _is_ours(self, host: str) -> bool:
        """Only our own name: a page elsewhere could point a name of its own at this machine and read along."""
        return host.rpartition(":")[0] in (LOOPBACK, "localhost")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer, is_ours = self._answer, self._is_ours

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the name that http.server calls
                if not is_ours(self.headers.get("Host", "")):
                    self.send_error(http.client.FORBIDDEN, "ask for 127.0.0.1")
                    return
                found = answer(self.path.partition("?")[0])
                if found is None:
                    self.send_error(http.client.NOT_FOUND, "there are /, /state.json and /metrics")
                    return
                content_type, body = found
                self.send_response(http.client.OK)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", _POLICY)
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's own name
                """A look each second is not worth a line."""

        return Handler
