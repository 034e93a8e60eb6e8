"""HTTP over plain sockets: threads share a pool of kept connections, and a forked child starts with an empty one."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Mapping

from maas_client._calls import Answer, Call
from maas_client._deadline import Deadline
from maas_client._http1 import MAX_HEAD_BYTES, Exactly, Need, Until, encode_head, read_response
from maas_client._http_codec import HttpRequest, HttpResponse, decode_response, encode_call
from maas_client._url import Endpoint
from maas_client.errors import BadAnswerError, ConnectionLostError, UnreachableError

_MAX_IDLE = 32
_JOIN_BELOW_BYTES = 65536
"""Smaller requests are sent as one piece: one system call costs more than the copy."""
_READ_BYTES = 65536


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
        headers: sent with every request.
        ssl_context: for https; None is the system's trust.
    """

    def __init__(
        self, endpoint: Endpoint, headers: Mapping[str, str], ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.endpoint = endpoint
        self._headers = tuple(headers.items())
        self._ssl = (ssl_context or ssl.create_default_context()) if endpoint.is_secure else None
        self._pool = _Pool()

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Sends one call and waits for its answer.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        response = self._send(encode_call(call), call, deadline)
        return decode_response(call, response, str(self.endpoint))

    def close(self) -> None:
        """Closes the idle connections."""
        with self._pool.lock:
            idle, self._pool.idle = self._pool.idle, []
        for connection in idle:
            connection.close()

    def _send(self, request: HttpRequest, call: Call, deadline: Deadline) -> HttpResponse:
        where = str(self.endpoint)
        connection = self._take() or self._connect(call, deadline)
        keep = False
        try:
            head = encode_head(request, self.endpoint, self._headers)
            response, keep = connection.exchange((head, *request.body), deadline)
            return response
        except TimeoutError as error:
            raise deadline.error(call.model, where, "waiting for the answer") from error
        except (OSError, EOFError) as error:
            raise ConnectionLostError(
                f"{call.model or 'the server'}: the connection ended before the whole answer came: {error}",
                model=call.model,
                endpoint=where,
            ) from error
        except ValueError as error:
            raise BadAnswerError(
                f"{call.model or 'the server'}: the answer breaks the protocol: {error}",
                model=call.model,
                endpoint=where,
            ) from error
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

    def _connect(self, call: Call, deadline: Deadline) -> _Connection:
        where = str(self.endpoint)
        try:
            plain = socket.create_connection((self.endpoint.host, self.endpoint.port), deadline.remaining_s())
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wrapped = self._ssl.wrap_socket(plain, server_hostname=self.endpoint.host) if self._ssl else plain
        except TimeoutError as error:
            raise deadline.error(call.model, where, "connecting") from error
        except OSError as error:
            raise UnreachableError(
                f"no server reachable: {error.strerror or error}; start it (maas serve) or correct the URL",
                model=call.model,
                endpoint=where,
            ) from error
        return _Connection(wrapped)


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
        self._write(pieces, deadline)
        reader = read_response()
        need: Need = next(reader)
        while True:
            try:
                need = reader.send(self._read(need, deadline))
            except StopIteration as stop:
                response, keep_alive = stop.value
                return response, keep_alive and not self._buffer

    def _arm(self, deadline: Deadline) -> None:
        remaining_s = deadline.remaining_s()
        if remaining_s == 0:
            raise TimeoutError
        self._socket.settimeout(remaining_s)

    def _write(self, pieces: tuple[bytes | memoryview, ...], deadline: Deadline) -> None:
        if sum(len(piece) for piece in pieces) < _JOIN_BELOW_BYTES:
            pieces = (b"".join(pieces),)
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
            pass
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
        data.extend(bytes(size_bytes - got))
        view = memoryview(data)
        while got < size_bytes:
            self._arm(deadline)
            count = self._socket.recv_into(view[got:])
            if count == 0:
                raise EOFError(f"the server closed it after {got} of {size_bytes} bytes")
            got += count
        return data
