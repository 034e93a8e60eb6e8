"""A server that answers everything with nothing, and keeps what it was sent: what reaches those behind the gateway."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from maas_gateway.routing import Upstream


@dataclass
class Recorder:
    """The headers of the requests that came, names in lower case; health checks are left out."""

    port: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)

    @property
    def upstream(self) -> Upstream:
        """It speaks HTTP only; no gRPC is sent to it."""
        return Upstream(http=f"127.0.0.1:{self.port}", grpc=f"127.0.0.1:{self.port}")


@contextmanager
def recorder() -> Iterator[Recorder]:
    """One on a free port, while the block runs."""
    made = Recorder()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            made.headers.append({name.lower(): value for name, value in self.headers.items()})
            self._answer()

        def _answer(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
            """Nothing: the test says what it wants to know."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
