"""A server that is ready, and answers every inference with "not now": it counts how often it is asked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc

from maas_gateway.routing import Upstream


class Overloaded:
    """Attributes: asked: inferences that came, over both protocols."""

    def __init__(self) -> None:
        self.asked = 0

    @contextlib.contextmanager
    def served(self) -> Iterator[Upstream]:
        """While the block runs."""
        http = self._http_server()
        threading.Thread(target=http.serve_forever, daemon=True).start()
        methods = {"ModelInfer": grpc.unary_unary_rpc_method_handler(self._unavailable)}
        rpc = grpc.server(ThreadPoolExecutor(2))
        service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods)
        rpc.add_generic_rpc_handlers((service,))
        port = rpc.add_insecure_port("127.0.0.1:0")
        rpc.start()
        try:
            yield Upstream(http=f"127.0.0.1:{http.server_port}", grpc=f"127.0.0.1:{port}")
        finally:
            http.shutdown()
            http.server_close()
            rpc.stop(None)

    def _unavailable(self, _message: bytes, context: grpc.ServicerContext) -> bytes:
        self.asked += 1
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        raise AssertionError("abort raises")

    def _http_server(self) -> ThreadingHTTPServer:
        overloaded = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, b"")

            def do_POST(self) -> None:
                overloaded.asked += 1
                self.rfile.read(int(self.headers["content-length"]))
                self._answer(503, b'{"error":"not now"}')

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
                """Nobody reads it."""

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
