"""Servers that answer what they are told, over HTTP and gRPC."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as pb

ONES = np.ones((1, 2), np.float32)


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def http_infer(data: bytes = ONES.tobytes(), version: str = "1", **entry: Any) -> bytes:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": len(data)}, **entry}
    head = json.dumps({"model_name": "m", "model_version": version, "outputs": [output]}).encode()
    return http(head + data, Inference_Header_Content_Length=str(len(head)))


def grpc_infer(data: bytes = ONES.tobytes(), version: str = "1", **entry: Any) -> bytes:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], **entry}
    message = pb.ModelInferResponse(model_name="m", model_version=version, outputs=[output], raw_output_contents=[data])
    return bytes(message.SerializeToString())


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority, of a server at 127.0.0.1, and of a client that the server asks for."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """Makes them with openssl."""
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
        _openssl("req", "-x509", *key, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-subj", "/CN=test CA")
        for name in ("server", "client"):
            _openssl(
                *("req", "-x509", *key, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-subj", f"/CN={name}"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"),
                *("-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"),
            )
        return cls(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")))

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.server_key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def credentials(self) -> grpc.ServerCredentials:
        pair = (self.server_key.read_bytes(), self.server.read_bytes())
        return grpc.ssl_server_credentials([pair], self.ca.read_bytes(), require_client_auth=True)


@dataclass
class Scripted:
    """A server that answers what it is told, over HTTP or gRPC, and counts what it was asked.

    Attributes:
        url: for a client.
        replies: taken one after another for each inference; the last one stays. One may be a function that gives it,
            called when it is its turn.
        asked: the inference requests that came, as bytes of the body or as messages.
        width: of the input's rows.
        digest: of the only version, as a view's configuration tells it.
        leftover: sent behind each reply over HTTP, though nobody asked for it.
    """

    url: str
    replies: list[Any] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    described: int = 0
    ready: bool = True
    max_batch_size: int = 4
    sequence: bool = False
    sequence_id_datatype: str = "TYPE_UINT64"
    versions: list[str] = field(default_factory=lambda: ["1"])
    digest: str = ""
    leftover: bytes = b""
    width: int = 2

    def good(self, version: str = "1") -> bytes:
        """The reply with y = [[1, 1]]."""
        return grpc_infer(version=version) if self.url.startswith("grpc") else http_infer(version=version)

    def busy(self) -> Any:
        """The reply of a server whose queue is full."""
        if self.url.startswith("grpc"):
            return grpc.StatusCode.UNAVAILABLE, "queue full"
        return http(b'{"error":"queue full"}', 503)

    def wrong(self, text: str) -> Any:
        """The reply of a server that refuses the request's content."""
        if self.url.startswith("grpc"):
            return grpc.StatusCode.INVALID_ARGUMENT, text
        return http(json.dumps({"error": text}).encode(), 400)

    def next_reply(self) -> Any:
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        return reply() if callable(reply) else reply

    def version_asked(self, number: int) -> str:
        """The version in the path or the message of an inference."""
        if self.url.startswith("grpc"):
            return str(pb.ModelInferRequest.FromString(self.asked[number]).model_version)
        path = [path for path in self.paths if path.endswith("/infer")][number]
        return path.partition("/versions/")[2].partition("/")[0]

    def config(self) -> dict[str, Any]:
        control = {"kind": "CONTROL_SEQUENCE_CORRID", "data_type": self.sequence_id_datatype}
        batching = {"control_input": [{"name": "CORRID", "control": [control]}]}
        digest: dict[str, Any] = {
            "version_policy": {"specific": {"versions": [int(self.versions[0])]}},
            "parameters": {"maas_digest": {"string_value": self.digest}},
        }
        told = digest if self.digest else {}
        return {
            "max_batch_size": self.max_batch_size,
            **told,
            **({"sequence_batching": batching} if self.sequence else {}),
        }

    def metadata(self) -> dict[str, Any]:
        tensor = {"datatype": "FP32", "shape": [-1, 2]}
        wide = {"datatype": "FP32", "shape": [-1, self.width]}
        return {
            "name": "m",
            "versions": self.versions,
            "platform": "",
            "inputs": [{"name": "x", **wide}],
            "outputs": [{"name": "y", **tensor}],
        }


def _serve_connection(server: Scripted, connection: socket.socket, stop: threading.Event) -> None:
    stream = connection.makefile("rb")
    while line := stream.readline():
        length = 0
        while (header := stream.readline()) not in {b"\r\n", b""}:
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
            server.headers[name.decode().lower()] = value.decode().strip()
        body = stream.read(length)
        path = line.split()[1].decode()
        server.paths.append(path)
        if path.endswith("/ready"):
            connection.sendall(http(b"", 200 if server.ready else 400))
        elif path.endswith("/config"):
            connection.sendall(http(json.dumps(server.config()).encode()))
        elif not path.endswith(("/infer", "/generate_stream")):
            server.described += 1
            connection.sendall(http(json.dumps(server.metadata()).encode()))
        else:
            server.asked.append(body)
            reply = server.next_reply()
            if reply == "stall":
                stop.wait(30)
                return
            if reply == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                return
            connection.sendall(reply + server.leftover)
            head, _, sent = reply.partition(b"\r\n\r\n")
            if f"Content-Length: {len(sent)}".encode() not in head:
                return


@contextmanager
def scripted_http(tls: Certificates | None = None) -> Iterator[Scripted]:
    """Replies are raw bytes of HTTP responses, "stall" or "reset"."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Scripted(f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}")
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        try:
            if tls:
                connection = tls.context().wrap_socket(connection, server_side=True)
            _serve_connection(server, connection, stop)
        except (ConnectionError, ssl.SSLError):
            pass  # the client hung up: what these tests make it do
        finally:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=handle, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    yield server
    stop.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    acceptor.join(5)


@contextmanager
def scripted_grpc(tls: Certificates | None = None) -> Iterator[Scripted]:
    """Replies are message bytes, "stall", or a pair of status code and details."""
    stop = threading.Event()
    pool = futures.ThreadPoolExecutor(8)
    grpc_server = grpc.server(pool)
    where = "127.0.0.1:0"
    port = grpc_server.add_secure_port(where, tls.credentials()) if tls else grpc_server.add_insecure_port(where)
    server = Scripted(f"grpc{'s' if tls else ''}://127.0.0.1:{port}")

    def infer(message: bytes, context: grpc.ServicerContext) -> bytes:
        server.asked.append(message)
        server.headers = {key.lower(): str(value) for key, value in context.invocation_metadata()}
        reply = server.next_reply()
        if reply == "stall":
            stop.wait(30)
            return b""
        if isinstance(reply, tuple):
            context.abort(*reply)
        return bytes(reply)

    def metadata(_message: bytes, _context: grpc.ServicerContext) -> bytes:
        server.described += 1
        return bytes(pb.ModelMetadataResponse(**server.metadata()).SerializeToString())

    def config(_message: bytes, _context: grpc.ServicerContext) -> bytes:
        return bytes(pb.ModelConfigResponse(config=server.config()).SerializeToString())

    def ready(_message: bytes, _context: grpc.ServicerContext) -> bytes:
        return bytes(pb.ServerReadyResponse(ready=server.ready).SerializeToString())

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(function)
        for name, function in {
            "ModelInfer": infer,
            "ModelMetadata": metadata,
            "ModelConfig": config,
            "ServerReady": ready,
        }.items()
    }
    grpc_server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    grpc_server.start()
    yield server
    stop.set()
    grpc_server.stop(0).wait(5)
    pool.shutdown(wait=False)
