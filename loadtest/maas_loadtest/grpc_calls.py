"""gRPC's part of a call over HTTP/2: the request's headers, messages out of data, and what a status means.

Sources: gRPC's PROTOCOL-HTTP2.md (requests, answers, reset codes), http-grpc-status-mapping.md (answers of proxies).
"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

import grpc
from gevent.event import Event

from maas_client._url import Endpoint
from maas_loadtest.http2_connection import Stream
from maas_loadtest.http2_frames import ErrorCode, code_name
from maas_loadtest.http2_headers import HeaderMap, encode_block
from maas_loadtest.sending import MESSAGE_CHARACTERS, NotProcessed, SendFailed, no_answer_within

_PREFIX_BYTES = 5
_MOST_TIMEOUT_DIGITS = 8
_TIMEOUT_UNITS = (("u", 1e6), ("m", 1e3), ("S", 1.0))
_STATUS_NAMES: dict[bytes, str] = {b"%d" % code.value[0]: code.name for code in grpc.StatusCode}
_STATUS_OF_RESET = {
    ErrorCode.REFUSED_STREAM: "UNAVAILABLE",
    ErrorCode.CANCEL: "CANCELLED",
    ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
    ErrorCode.INADEQUATE_SECURITY: "PERMISSION_DENIED",
}
"""All other codes are INTERNAL."""
_STATUS_OF_HTTP = {
    b"400": "INTERNAL",
    b"401": "UNAUTHENTICATED",
    b"403": "PERMISSION_DENIED",
    b"404": "UNIMPLEMENTED",
    b"429": "UNAVAILABLE",
    b"502": "UNAVAILABLE",
    b"503": "UNAVAILABLE",
    b"504": "UNAVAILABLE",
}
"""All other answers without a gRPC status are UNKNOWN."""


def request_block(endpoint: Endpoint, path: str, timeout_s: float, metadata: Iterable[tuple[str, str]]) -> bytes:
    """The header block of each request of one method; ``metadata`` with names in lower case."""
    headers = [
        (":method", "POST"),
        (":scheme", "https" if endpoint.is_secure else "http"),
        (":path", path),
        (":authority", endpoint.authority),
        ("te", "trailers"),
        ("grpc-timeout", timeout_text(timeout_s)),
        ("content-type", "application/grpc"),
        ("user-agent", "triton-maas-load"),
    ]
    own = [(name, _binary(value) if name.endswith("-bin") else value) for name, value in metadata]
    return encode_block([(name.encode(), value.encode()) for name, value in headers + own])


def _binary(value: str) -> str:
    """Without padding, as PROTOCOL-HTTP2.md wants it sent."""
    return base64.b64encode(value.encode()).decode().rstrip("=")


def timeout_text(timeout_s: float) -> str:
    """``grpc-timeout``: at most eight digits in the finest unit that holds them."""
    for unit, per_second in _TIMEOUT_UNITS:
        text = f"{max(1, round(timeout_s * per_second))}{unit}"
        if len(text) <= _MOST_TIMEOUT_DIGITS + 1:
            return text
    return f"{10**_MOST_TIMEOUT_DIGITS - 1}S"


def framed(message: bytes) -> bytes:
    """A message as it goes into DATA: not compressed, its length, and it."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def split_messages(data: bytes | bytearray) -> tuple[list[bytes], bytes]:
    """The whole messages in what has come, and the beginning of the next one.

    Raises:
        SendFailed: one is compressed, which was not offered.
    """
    messages, at = [], 0
    while len(data) - at >= _PREFIX_BYTES:
        if data[at]:
            raise SendFailed("protocol", "a compressed message, which was not asked for")
        start = at + _PREFIX_BYTES
        end = start + int.from_bytes(data[at + 1 : start], "big")
        if end > len(data):
            break
        messages.append(bytes(data[start:end]))
        at = end
    return messages, bytes(data[at:])


def failure_of(headers: HeaderMap, timeout_s: float) -> SendFailed | None:
    """What the head and the trailers of an answer say; None for OK."""
    status = headers.get(b"grpc-status")
    if status == b"0":
        return None
    http_status = headers.get(b":status", b"")
    if status is not None:
        details = unquote_to_bytes(headers.get(b"grpc-message", b"")).decode("utf-8", "replace")
        return status_failure(_STATUS_NAMES.get(status, "UNKNOWN"), details, timeout_s)
    if http_status != b"200":
        name = _STATUS_OF_HTTP.get(http_status, "UNKNOWN")
        return status_failure(name, f"HTTP status {http_status.decode('ascii', 'replace')}", timeout_s)
    return SendFailed("protocol", "an answer without grpc-status")


def status_failure(name: str, details: str, timeout_s: float) -> SendFailed:
    """A gRPC status as a kind of failure."""
    if name == "DEADLINE_EXCEEDED":
        return no_answer_within(timeout_s)
    if name == "UNAVAILABLE" and "connect" in details.lower():
        # A gateway's words for a server that it does not reach.
        return SendFailed("unreachable", "no connection")
    return SendFailed("status", f"{name}: {details[:MESSAGE_CHARACTERS] or 'no explanation'}")


class _Call(Stream):
    """What both kinds of calls keep.

    Args:
        block: its header block.
        wire: the message.
        timeout_s: that the caller was promised, for words.
        end_at: when that is over, by ``time.monotonic``; of a second try the same as of the first.
        ends_request: whether nothing follows the message.
    """

    def __init__(self, block: bytes, wire: bytes, timeout_s: float, end_at: float, *, ends_request: bool) -> None:
        super().__init__(block, framed(wire), ends_request=ends_request)
        self._timeout_s = timeout_s
        self._end_at = end_at
        self._headers: HeaderMap = {}
        self._failure: SendFailed | None = None
        self._changed = Event()

    def on_headers(self, headers: HeaderMap) -> None:
        """See :class:`Stream`."""
        self._headers = {**self._headers, **headers} if self._headers else headers

    def on_reset(self, code: int) -> None:
        """See :class:`Stream`. A server may give up at the deadline that it was told before our own clock does."""
        if code == ErrorCode.CANCEL and time.monotonic() >= self._end_at:
            self.on_failed(no_answer_within(self._timeout_s))
            return
        name = next((name for known, name in _STATUS_OF_RESET.items() if known == code), "INTERNAL")
        failure = status_failure(name, f"the server reset the stream ({code_name(code)})", self._timeout_s)
        # RFC 9113, 8.7; a server may for a moment count a stream that it has just ended.
        is_untouched = code == ErrorCode.REFUSED_STREAM
        self.on_failed(NotProcessed(failure.kind, failure.message) if is_untouched else failure)

    def on_failed(self, failure: SendFailed) -> None:
        """See :class:`Stream`."""
        self._failure = failure
        self._changed.set()

    def _wait(self) -> None:
        """Until something has changed.

        Raises:
            SendFailed: the time is over.
        """
        if not self._changed.wait(max(0.0, self._end_at - time.monotonic())):
            raise no_answer_within(self._timeout_s)


class UnaryCall(_Call):
    """One message, one answer; who waits is woken once."""

    def __init__(self, block: bytes, wire: bytes, timeout_s: float, end_at: float) -> None:
        super().__init__(block, wire, timeout_s, end_at, ends_request=True)
        self._body = bytearray()

    def on_data(self, data: bytes) -> None:
        """See :class:`Stream`."""
        self._body += data

    def on_end(self) -> None:
        """See :class:`Stream`."""
        self._changed.set()

    def answer(self) -> bytes:
        """Waits for it.

        Raises:
            SendFailed: there is no good one.
        """
        self._wait()
        failure = self._failure or failure_of(self._headers, self._timeout_s)
        if failure is not None:
            raise failure
        messages, rest = split_messages(self._body)
        if len(messages) != 1 or rest:
            raise SendFailed("protocol", "not one whole message in the answer")
        return messages[0]


class StreamCall(_Call):
    """One message, any number of answers; the request side stays open until it is closed."""

    def __init__(self, block: bytes, wire: bytes, timeout_s: float, end_at: float) -> None:
        super().__init__(block, wire, timeout_s, end_at, ends_request=False)
        self._rest = b""
        self._arrived: deque[tuple[int, bytes]] = deque()
        self._is_over = False

    def on_data(self, data: bytes) -> None:
        """See :class:`Stream`."""
        now_ns = time.monotonic_ns()
        try:
            messages, self._rest = split_messages(self._rest + data if self._rest else data)
        except SendFailed as failure:
            self.on_failed(failure)
            return
        if messages:
            self._arrived.extend((now_ns, message) for message in messages)
            self._changed.set()

    def on_end(self) -> None:
        """See :class:`Stream`."""
        self._is_over = True
        self._changed.set()

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """Each with the moment at which it came, by ``time.monotonic_ns``.

        Raises:
            SendFailed: the stream does not end well.
        """
        while True:
            while self._arrived:
                yield self._arrived.popleft()
            if self._failure is not None:
                raise self._failure
            if self._is_over:
                break
            self._wait()
            self._changed.clear()
        failure = failure_of(self._headers, self._timeout_s)
        if failure is not None:
            raise failure
        if self._rest:
            raise SendFailed("protocol", "half a message at the end of the stream")
