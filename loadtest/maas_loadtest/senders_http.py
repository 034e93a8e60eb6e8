"""HTTP for load: whole requests as bytes over kept connections, and just as much reading of HTTP as the answers need.

Source: RFC 9112. Under gevent the sockets of the standard library are cooperative; the sender does not know of it.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Generator
from typing import Any

import numpy as np

from maas_client._http1 import Event, Exactly, Until, UntilClose, read_events
from maas_client._http_codec import HttpResponse, decode_response
from maas_client._spec import ModelSpec, TensorSpec
from maas_client._stream import StreamCall, decode_event
from maas_client._url import Endpoint
from maas_core.dtypes import TRITON_OF_NUMPY
from maas_core.golden import Tensors
from maas_loadtest.prepared import Prepared
from maas_loadtest.sending import MESSAGE_CHARACTERS, Reply, SendFailed, call_of, no_answer_within

_RECEIVE_BYTES = 1 << 16
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_HEADER_LENGTH = re.compile(rb"\r\ninference-header-content-length:\s*(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection:\s*close", re.IGNORECASE)
_VERSION = re.compile(rb'"model_version"\s*:\s*"(\d+)"')
_VERSION_WITHIN_BYTES = 400
_OK = 200


class _Connection:
    """One kept connection."""

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._end_at = 0.0
        try:
            self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout=timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.is_secure:
                # wrap_socket closes the plain one where the handshake fails.
                context = ssl.create_default_context()
                self._socket = context.wrap_socket(self._socket, server_hostname=endpoint.host)
        except OSError as error:
            raise SendFailed("unreachable", f"no connection: {error.strerror or error}") from error
        self._rest = b""
        self.is_reusable = True

    def exchange(self, wire: bytes) -> tuple[int, bytes, int]:
        """Status, body, and how much of the body is the JSON header."""
        self._begin(wire)
        data = self._receive()
        while (end := data.find(_HEAD_END)) < 0:
            data += self._receive()
        head, body = data[: end + 2], data[end + len(_HEAD_END) :]
        length = _LENGTH.search(head)
        if length is None:
            raise SendFailed("protocol", "an answer without Content-Length")
        wanted = int(length[1])
        if len(body) < wanted:
            body = self._fill(body, wanted)
        if len(body) > wanted or _CLOSES.search(head):
            self.is_reusable = False
        header = _HEADER_LENGTH.search(head)
        return int(head[9:12]), body, int(header[1]) if header else wanted

    def stream(self, wire: bytes) -> Generator[bytes, None, None]:
        """The events of a stream, as they come."""
        self._begin(wire)
        reader = read_events()
        need = next(reader)
        while True:
            if isinstance(need, Event):
                yield need.data
                answer: bytes | bytearray = b""
            else:
                answer = self._needed(need)
            try:
                need = reader.send(answer)
            except StopIteration as end:
                if end.value is not None:
                    raise SendFailed("status", _told(end.value.status, bytes(end.value.head))) from None
                return

    def _needed(self, need: Until | Exactly | UntilClose) -> bytes:
        data = self._rest
        if isinstance(need, Until):
            while (end := data.find(need.separator)) < 0:
                data += self._receive()
            size = end + len(need.separator)
        elif isinstance(need, Exactly):
            data = self._fill(data, need.size_bytes)
            size = need.size_bytes
        else:
            raise SendFailed("protocol", "an answer without a length")
        self._rest = data[size:]
        return data[:size]

    def _fill(self, data: bytes, size_bytes: int) -> bytes:
        pieces = bytearray(data)
        while len(pieces) < size_bytes:
            pieces += self._receive()
        return bytes(pieces)

    def _begin(self, wire: bytes) -> None:
        self._end_at = time.monotonic() + self._timeout_s
        self._socket.settimeout(self._timeout_s)
        self._socket.sendall(wire)

    def _receive(self) -> bytes:
        left_s = self._end_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        # The time is the request's, not that of each piece of its answer.
        self._socket.settimeout(left_s)
        data = self._socket.recv(_RECEIVE_BYTES)
        if not data:
            raise SendFailed("connection", "the server closed the connection before the whole answer came")
        return data

    def close(self) -> None:
        self._socket.close()


class HttpSender:
    """Connections are made as they are needed and kept; the one that was used last is used first.

    Args:
        endpoint: an http or https address.
        timeout_s: how long to wait for a connection, and then for the whole answer.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []

    def send(self, prepared: Prepared, wire: bytes) -> Reply:
        """See :class:`maas_loadtest.sending.Sender`."""
        connection = self._idle.pop() if self._idle else _Connection(self._endpoint, self._timeout_s)
        try:
            reply = self._streamed(connection, wire) if prepared.kind == "stream" else self._answered(connection, wire)
        except SendFailed as error:
            self._give_back(connection, reusable=error.kind == "status" and prepared.kind != "stream")
            raise
        except TimeoutError as error:
            connection.close()
            raise no_answer_within(self._timeout_s) from error
        except (OSError, ValueError) as error:
            connection.close()
            kind = "connection" if isinstance(error, OSError) else "protocol"
            raise SendFailed(kind, str(error)[:MESSAGE_CHARACTERS]) from error
        except BaseException:
            # A greenlet that is killed leaves a connection with half an answer in it.
            connection.close()
            raise
        self._give_back(connection, reusable=True)
        return reply

    def _give_back(self, connection: _Connection, *, reusable: bool) -> None:
        if reusable and connection.is_reusable:
            self._idle.append(connection)
        else:
            connection.close()

    def _answered(self, connection: _Connection, wire: bytes) -> Reply:
        status, body, header_bytes = connection.exchange(wire)
        if status != _OK:
            raise SendFailed("status", _told(status, body))
        version = _VERSION.search(body, 0, _VERSION_WITHIN_BYTES) or _VERSION.search(body, 0, header_bytes)
        return Reply(body, version[1].decode() if version else "", header_bytes)

    def _streamed(self, connection: _Connection, wire: bytes) -> Reply:
        parts, moments = [], []
        for part in connection.stream(wire):
            moments.append(time.monotonic_ns())
            parts.append(part)
            if part.startswith(b'{"error"'):
                raise SendFailed("status", _told(_OK, part))
        version = _VERSION.search(parts[0]) if parts else None
        return Reply(b"", version[1].decode() if version else "", 0, tuple(parts), tuple(moments))

    def outputs(self, prepared: Prepared, reply: Reply) -> Tensors:
        """See :class:`maas_loadtest.sending.Sender`."""
        call = call_of(prepared)
        if prepared.kind == "stream":
            stream = StreamCall(call, _spec_of(prepared))
            answers = [decode_event(stream, part, str(self._endpoint)).outputs for part in reply.parts]
            return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
        head, tail = reply.body[: reply.header_bytes], bytearray(reply.body[reply.header_bytes :])
        answer: Any = decode_response(call, HttpResponse(_OK, {}, head, tail), str(self._endpoint))
        outputs: Tensors = answer.outputs
        return outputs

    def close(self) -> None:
        """See :class:`maas_loadtest.sending.Sender`."""
        while self._idle:
            self._idle.pop().close()


def _spec_of(prepared: Prepared) -> ModelSpec:
    """Server-sent events carry no datatypes: they are those of the right answer."""
    outputs = {
        name: TensorSpec(name, TRITON_OF_NUMPY[value.dtype], (-1,)) for name, value in prepared.expected[0].items()
    }
    return ModelSpec(name=prepared.model, versions=(), inputs={}, outputs=outputs)


def _told(status: int, body: bytes) -> str:
    """The server's own words, without what changes from request to request being cut off."""
    try:
        words = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        words = body.decode("utf-8", "replace").strip()
    return f"{status}: {words[:MESSAGE_CHARACTERS] or 'no explanation'}"
