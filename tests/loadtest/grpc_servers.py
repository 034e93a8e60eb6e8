"""Servers for the sender over gRPC: real ones of grpcio, and ones that say just what a test wants over bare sockets."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import gevent
import grpc
from tritonclient.grpc import service_pb2 as pb

from maas_client._grpc_codec import SERVICE
from maas_client._url import Endpoint
from maas_loadtest.http2_frames import (
    MOST_FRAME_BYTES,
    PREFACE,
    Frame,
    FrameReader,
    FrameType,
    Setting,
    frame,
    settings_frame,
)
from maas_loadtest.http2_headers import encode_block
from maas_loadtest.senders_grpc import GrpcSender

_TIMEOUT_S = 20.0
_NO_LIMIT = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))

Answer = Callable[[Any, Any], Any]


@contextmanager
def grpc_server(
    answer: Answer,
    stream: Answer | None = None,
    *,
    threads: int = 2,
    port: int = 0,
    options: tuple[tuple[str, int], ...] = (),
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[Endpoint]:
    """One of grpcio. ``answer`` is ModelInfer, ``stream`` ModelStreamInfer."""
    methods = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(answer, pb.ModelInferRequest.FromString, _serialized),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(
            stream or answer, pb.ModelInferRequest.FromString, _serialized
        ),
    }
    server = grpc.server(ThreadPoolExecutor(threads), options=(*_NO_LIMIT, *options))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.strip("/"), methods),))
    address = f"127.0.0.1:{port}"
    found = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield Endpoint("grpcs" if credentials else "grpc", "127.0.0.1", found)
    finally:
        server.stop(None).wait(_TIMEOUT_S)


def _serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def wait_until_lost(sender: GrpcSender) -> None:
    """Until the sender knows that its connection is of no more use."""
    with gevent.Timeout(_TIMEOUT_S):
        while sender._connections[-1].takes_calls:
            gevent.sleep(0.01)


class Peer:
    """The server's end of one connection: frames in, bytes out."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames: list[Frame] = []
        self._reader = FrameReader(MOST_FRAME_BYTES)

    def say(self, *pieces: bytes) -> None:
        self._connection.sendall(b"".join(pieces))

    def greet(self, settings: dict[Setting, int] | None = None) -> None:
        """Takes the preface and sends SETTINGS."""
        data = b""
        while len(data) < len(PREFACE):
            data += self._connection.recv(len(PREFACE) - len(data))
        assert data == PREFACE
        self.say(settings_frame(settings or {}))

    def wait_for(self, kind: FrameType, flags: int = 0) -> Frame:
        """The next frame of a type that has these flags; what came before it is skipped."""
        while True:
            found = self.wait_for_any()
            if found[0] == kind and found[1] & flags == flags:
                return found

    def wait_for_any(self) -> Frame:
        while not self._frames:
            data = self._connection.recv(1 << 16)
            if not data:
                raise ConnectionError("the client closed the connection while a frame was waited for")
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def wait_for_end(self) -> None:
        """Until the client closes the connection."""
        while self._connection.recv(1 << 16):
            pass


@contextmanager
def raw_server(*talks: Callable[[Peer], None], context: ssl.SSLContext | None = None) -> Iterator[Endpoint]:
    """Gives each connection, in order, to the next of ``talks``, and closes it afterwards.

    What a talk finds wrong fails the test.
    """
    broken: list[BaseException] = []

    def serve(listener: socket.socket) -> None:
        for talk in talks:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            plain.settimeout(_TIMEOUT_S)
            try:
                with context.wrap_socket(plain, server_side=True) if context else plain as connection:
                    talk(Peer(connection))
            except (AssertionError, OSError) as error:
                broken.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        try:
            yield Endpoint("grpcs" if context else "grpc", "127.0.0.1", listener.getsockname()[1])
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            server.join(_TIMEOUT_S)
    assert not server.is_alive()
    assert not broken


HEAD = encode_block([(b":status", b"200"), (b"content-type", b"application/grpc")])
OK = encode_block([(b"grpc-status", b"0")])


def message_of(body: bytes) -> bytes:
    """A message with gRPC's prefix."""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def good_answer(stream_id: int, body: bytes) -> bytes:
    """HEADERS, DATA and trailers."""
    return (
        frame(FrameType.HEADERS, 0x4, stream_id, HEAD)
        + frame(FrameType.DATA, 0, stream_id, message_of(body))
        + frame(FrameType.HEADERS, 0x5, stream_id, OK)
    )
