"""Where mirrored requests go: a small server that asks both servers the same and writes down whether they agree.

Envoy throws the answers to mirrored requests away, so they are answered at once, and empty. What comes faster than two
servers answer is not compared: at most 64 requests wait.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from maas_core.ports import LOOPBACK
from maas_gateway.clusters import Protocol
from maas_gateway.comparing import GRPC_INFER, Comparer, Mirrored

_MOST_WAITING = 64
_BACKLOG = 128
"""Connections that may wait to be accepted. Envoy gives one up after a second, and with it what it would mirror."""
_WORKERS = 2
_LAST_CHUNK = 0


class ComparisonSink:
    """Takes mirrored requests from the start of the block to its end.

    Args:
        state_dir: where the routing lies, and where differences are written.

    Attributes:
        ports: where it takes them.
    """

    def __init__(self, state_dir: Path) -> None:
        self._waiting: queue.Queue[Mirrored | None] = queue.Queue(_MOST_WAITING)
        self._comparer = Comparer(state_dir)

    def __enter__(self) -> ComparisonSink:
        """Listens on free ports of loopback."""
        self._http = _HttpServer(self._take)
        self._grpc = grpc.server(
            ThreadPoolExecutor(_WORKERS),
            handlers=(_grpc_handler(self._take),),
            options=[("grpc.max_receive_message_length", -1)],
        )
        grpc_port = self._grpc.add_insecure_port(f"{LOOPBACK}:0")
        self.ports: dict[Protocol, int] = {"http": self._http.server_port, "grpc": grpc_port}
        self._grpc.start()
        self._threads = [threading.Thread(target=self._http.serve_forever, name="mirror-http", daemon=True)]
        self._threads += [threading.Thread(target=self._work, name="mirror", daemon=True) for _ in range(_WORKERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drops what waits."""
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None)
        self._comparer.close()

    def _take(self, request: Mirrored) -> None:
        try:
            self._waiting.put_nowait(request)
        except queue.Full:
            self._comparer.not_compared()

    def _work(self) -> None:
        while (request := self._waiting.get()) is not None:
            try:
                self._comparer.compare(request)
            except OSError:
                # No file can be opened any more: the next line that can be written tells.
                self._comparer.not_compared()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _BACKLOG

    def __init__(self, take: Callable[[Mirrored], None]) -> None:
        super().__init__((LOOPBACK, 0), _HttpHandler)
        self.take = take


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def do_POST(self) -> None:
        body = self._chunked() if "chunked" in self.headers.get("transfer-encoding", "") else self._sized()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.take(Mirrored("http", self.path, headers, body))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Envoy's log and the differences say enough."""

    def _sized(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _chunked(self) -> bytes:
        chunks = []
        while (size := int(self.rfile.readline().split(b";")[0], 16)) != _LAST_CHUNK:
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)


def _grpc_handler(take: Callable[[Mirrored], None]) -> Any:
    def answer(message: bytes, context: grpc.ServicerContext) -> bytes:
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        take(Mirrored("grpc", GRPC_INFER, headers, message))
        return b""

    _, service, method = GRPC_INFER.split("/")
    return grpc.method_handlers_generic_handler(service, {method: grpc.unary_unary_rpc_method_handler(answer)})
