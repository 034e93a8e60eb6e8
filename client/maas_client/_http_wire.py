"""HTTP over plain sockets: threads share a pool of kept connections, and a forked child starts with an empty one."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator

from maas_client._calls import Answer, Call, InferAnswer
from maas_client._deadline import Deadline
from maas_client._http1 import (
    MAX_HEAD_BYTES,
    Event,
    Exactly,
    Need,
    Until,
    check_body_size,
    read_events,
    read_response,
)
from maas_client._http_codec import HttpRequest, HttpResponse, decode_response, encode_call, error_of
from maas_client._http_common import RequestEncoder, answer_errors, connect_errors
from maas_client._options import Options
from maas_client._stream import StreamCall, decode_event, encode_generate
from maas_client._url import Endpoint

_MAX_IDLE = 32
_READ_BYTES = 65536
_BLOCK_BYTES = 2**26
"""So much memory is taken at once for what a server says that it is going to send."""


class _Pool:
    """Idle connections of one process, the last used first."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.idle: list[_Connection] = []


class HttpWire:
    """Carries calls to one HTTP endpoint. It may be used from many threads and after a fork.

    Args:
        endpoint: an http or https address.
        options: headers, TLS, compression.
    """

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self.endpoint = endpoint
        self._encoder = RequestEncoder(endpoint, options)
        self._ssl = options.tls.context() if endpoint.is_secure else None
        self._pool = _Pool()

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Sends one call and waits for its answer.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        response = self._send(encode_call(call), call, deadline)
        return decode_response(call, response, str(self.endpoint))

    def stream(self, stream: StreamCall, deadline: Deadline) -> Iterator[InferAnswer]:
        """Sends one request and yields its answers; closing the iterator hangs up, which cancels on the server.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        pieces = self._encoder.pieces(encode_generate(stream))
        with connect_errors(stream.call, deadline, self.endpoint):
            connection = self._connect(deadline)
        try:
            steps = connection.events(pieces, deadline)
            while True:
                with answer_errors(stream.call, deadline, self.endpoint):
                    step = next(steps, None)
                if isinstance(step, HttpResponse):
                    raise error_of(stream.call, step, str(self.endpoint))
                if step is None:
                    return
                yield decode_event(stream, step.data, str(self.endpoint))
        finally:
            connection.close()

    def close(self) -> None:
        """Closes the idle connections."""
        with self._pool.lock:
            idle, self._pool.idle = self._pool.idle, []
        for connection in idle:
            connection.close()

    def _send(self, request: HttpRequest, call: Call, deadline: Deadline) -> HttpResponse:
        pieces = self._encoder.pieces(request)
        connection = self._take()
        if connection is None:
            with connect_errors(call, deadline, self.endpoint):
                connection = self._connect(deadline)
        keep = False
        try:
            with answer_errors(call, deadline, self.endpoint):
                response, keep = connection.exchange(pieces, deadline)
                return response
        finally:
            if keep:
                self._give_back(connection)
            else:
                connection.close()

    def _take(self) -> _Connection | None:
        if self._pool.pid != os.getpid():
            # The parent goes on using these sockets; the lock may be held by a thread that this child does not have.
            self._pool = _Pool()
        pool = self._pool
        while True:
            with pool.lock:
                if not pool.idle:
                    return None
                connection = pool.idle.pop()
            if connection.is_usable():
                return connection
            connection.close()

    def _give_back(self, connection: _Connection) -> None:
        pool = self._pool
        with pool.lock:
            if len(pool.idle) < _MAX_IDLE:
                pool.idle.append(connection)
                return
        connection.close()

    def _connect(self, deadline: Deadline) -> _Connection:
        remaining_s = deadline.remaining_s()
        if remaining_s == 0:
            # To sockets a timeout of 0 means that they do not wait.
            raise TimeoutError
        plain = socket.create_connection((self.endpoint.host, self.endpoint.port), remaining_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(self._ssl.wrap_socket(plain, server_hostname=self.endpoint.host) if self._ssl else plain)


class _Connection:
    """One socket and what was read from it but not used yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()

    def is_usable(self) -> bool:
        """Whether the server has neither closed the idle connection nor sent what nobody asked for."""
        try:
            self._socket.settimeout(0)
            if isinstance(self._socket, ssl.SSLSocket):
                self._socket.read(1)
            else:
                self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def exchange(self, pieces: tuple[bytes | memoryview, ...], deadline: Deadline) -> tuple[HttpResponse, bool]:
        """Sends one request and reads its response."""
        try:
            self._write(pieces, deadline)
        except ConnectionError as error:
            return self._early_response(error, deadline), False
        response, keep_alive = self._response(deadline)
        return response, keep_alive and not self._buffer

    def _early_response(self, error: ConnectionError, deadline: Deadline) -> HttpResponse:
        """What a server said before it hung up in the middle of a request (413, say).

        Raises:
            ConnectionError: nothing.
        """
        try:
            return self._response(deadline)[0]
        except (OSError, EOFError, ValueError):
            raise error from None

    def _response(self, deadline: Deadline) -> tuple[HttpResponse, bool]:
        reader = read_response()
        need: Need = next(reader)
        while True:
            try:
                need = reader.send(self._read(need, deadline))
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # StopIteration.value is not typed

    def events(self, pieces: tuple[bytes | memoryview, ...], deadline: Deadline) -> Iterator[Event | HttpResponse]:
        """Sends one request and yields the events of its response, or the response where it is none of events."""
        self._write(pieces, deadline)
        reader = read_events()
        step: Need | Event = next(reader)
        while True:
            data: bytes | bytearray = b""
            if isinstance(step, Event):
                yield step
            else:
                data = self._read(step, deadline)
            try:
                step = reader.send(data)
            except StopIteration as stop:
                if stop.value is not None:
                    yield stop.value
                return

    def _arm(self, deadline: Deadline) -> None:
        remaining_s = deadline.remaining_s()
        if remaining_s == 0:
            raise TimeoutError
        self._socket.settimeout(remaining_s)

    def _write(self, pieces: tuple[bytes | memoryview, ...], deadline: Deadline) -> None:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                self._arm(deadline)
                view = view[self._socket.send(view) :]

    def _read(self, need: Need, deadline: Deadline) -> bytes | bytearray:
        if isinstance(need, Exactly):
            return self._read_exactly(need.size_bytes, deadline)
        if isinstance(need, Until):
            return self._read_until(need.separator, deadline)
        while self._fill(deadline):
            check_body_size(len(self._buffer))
        rest, self._buffer = self._buffer, bytearray()
        return rest

    def _fill(self, deadline: Deadline) -> bool:
        self._arm(deadline)
        data = self._socket.recv(_READ_BYTES)
        self._buffer += data
        return bool(data)

    def _read_until(self, separator: bytes, deadline: Deadline) -> bytes:
        while (end := self._buffer.find(separator)) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ValueError(f"more than {MAX_HEAD_BYTES} bytes of headers")
            if not self._fill(deadline):
                raise EOFError("the server closed it")
        end += len(separator)
        data = bytes(self._buffer[:end])
        del self._buffer[:end]
        return data

    def _read_exactly(self, size_bytes: int, deadline: Deadline) -> bytearray:
        data = self._buffer[:size_bytes]
        del self._buffer[:size_bytes]
        got = len(data)
        if got == size_bytes:
            return data
        while got < size_bytes:
            if got == len(data):
                data.extend(bytes(min(size_bytes - got, _BLOCK_BYTES)))
            self._arm(deadline)
            with memoryview(data) as view, view[got:] as rest:
                count = self._socket.recv_into(rest)
            if count == 0:
                raise EOFError(f"the server closed it after {got} of {size_bytes} bytes")
            got += count
        return data
