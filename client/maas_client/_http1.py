"""HTTP/1.1 without any I/O: bytes of a request, and a reader of responses that tells what it needs next.

Source: RFC 9112. The standard library's ``http.client`` cannot keep one deadline over several reads, and asyncio cannot
use it.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator
from dataclasses import dataclass

from maas_client._http_codec import HEADER_LENGTH, HttpRequest, HttpResponse
from maas_client._url import Endpoint

MAX_HEAD_BYTES = 65536
HEAD_END = b"\r\n\r\n"
LINE_END = b"\r\n"
MAX_UNPACKED_BYTES = 2**31
_WBITS = {"gzip": 31, "deflate": 15}
"""zlib's numbers for the two formats; HTTP's "deflate" is the zlib format (RFC 9110, 8.4.1.2)."""


@dataclass(frozen=True, slots=True)
class Until:
    """The reader needs everything up to and with ``separator``."""

    separator: bytes


@dataclass(frozen=True, slots=True)
class Exactly:
    """The reader needs this many bytes."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class UntilClose:
    """The reader needs all that comes until the server closes the connection."""


@dataclass(frozen=True, slots=True)
class Event:
    """The data of one server-sent event."""

    data: bytes


Need = Until | Exactly | UntilClose
Reader = Generator[Need, "bytes | bytearray", tuple[HttpResponse, bool]]


def encode_head(request: HttpRequest, endpoint: Endpoint, extra_headers: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Request line and headers, with the empty line that ends them."""
    lines = [f"{request.method} {endpoint.path}{request.target} HTTP/1.1", f"Host: {endpoint.authority}"]
    lines += [f"{name}: {value}" for name, value in (*request.headers, *extra_headers)]
    if request.method == "POST":
        lines.append(f"Content-Length: {sum(len(piece) for piece in request.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def read_response() -> Reader:
    """Reads one response.

    Yields:
        what is needed next; the driver sends it back.

    Returns:
        the response, and whether the connection can be used again.

    Raises:
        ValueError: what came is not HTTP/1.1.
    """
    version, status, headers = yield from _read_head()
    return (yield from _read_rest(version, status, headers))


def read_events() -> Generator[Need | Event, bytes | bytearray, HttpResponse | None]:
    """Reads a response of server-sent events.

    Yields:
        what is needed next, which the driver sends back; or an event, for which it sends b"".

    Returns:
        None after the last event, or the whole response where it is none of events.

    Raises:
        ValueError: what came is not HTTP/1.1, or its events are not in chunks.
    """
    version, status, headers = yield from _read_head()
    if status != 200 or not headers.get("content-type", "").startswith("text/event-stream"):
        response, _ = yield from _read_rest(version, status, headers)
        return response
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        raise ValueError("events that do not come in chunks")
    rest = b""
    while chunk := (yield from _read_chunk()):
        *events, rest = (rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for event in events:
            lines = [line.removeprefix(b"data:").strip() for line in event.split(b"\n") if line.startswith(b"data:")]
            if lines:
                yield Event(b"\n".join(lines))
    return None


def _read_head() -> Generator[Need, bytes | bytearray, tuple[bytes, int, dict[str, str]]]:
    while True:
        version, status, headers = _parse_head(bytes((yield Until(HEAD_END))))
        if not 100 <= status < 200:
            return version, status, headers


def _read_rest(version: bytes, status: int, headers: dict[str, str]) -> Reader:
    keep_alive = version == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
    encoding = headers.get("content-encoding", "identity")
    head: bytes | bytearray
    tail = bytearray()
    if encoding != "identity":
        if "content-length" not in headers:
            raise ValueError("a compressed answer without Content-Length")
        data = yield Exactly(_length(headers["content-length"]))
        head, tail = _split(_decompress(data, encoding), headers)
    elif "chunked" in headers.get("transfer-encoding", "").lower():
        head, tail = _split(bytearray((yield from _read_chunks())), headers)
    elif "content-length" in headers:
        size_bytes = _length(headers["content-length"])
        head_bytes = min(_header_length(headers, size_bytes), size_bytes)
        head = yield Exactly(head_bytes)
        if size_bytes > head_bytes:
            # A buffer of its own keeps the tensors aligned.
            tail = bytearray((yield Exactly(size_bytes - head_bytes)))
    elif status in {204, 304}:
        head = b""
    else:
        head, tail = _split(bytearray((yield UntilClose())), headers)
        keep_alive = False
    return HttpResponse(status, headers, head, tail), keep_alive


def _parse_head(head: bytes) -> tuple[bytes, int, dict[str, str]]:
    status_line, *lines = head.removesuffix(HEAD_END).split(LINE_END)
    version, _, rest = status_line.partition(b" ")
    code = rest[:3]
    if version not in {b"HTTP/1.1", b"HTTP/1.0"} or not code.isdigit() or len(code) != 3:
        raise ValueError(f"the answer begins with {status_line[:40]!r}, which is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name.strip():
            raise ValueError(f"{line[:40]!r} is not an HTTP header")
        headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
    return version, int(code), headers


def compress(request: HttpRequest, encoding: str) -> HttpRequest:
    """The request with a compressed body ("gzip" or "deflate"); it asks for an answer in the same encoding."""
    headers = (*request.headers, ("Accept-Encoding", encoding))
    if not request.body:
        return HttpRequest(request.method, request.target, headers)
    # The fastest level: on a local network a better one costs more time than it saves.
    packer = zlib.compressobj(1, wbits=_WBITS[encoding])
    body = b"".join([*(packer.compress(piece) for piece in request.body), packer.flush()])
    return HttpRequest(request.method, request.target, (*headers, ("Content-Encoding", encoding)), (body,))


def _decompress(data: bytes | bytearray, encoding: str) -> bytearray:
    if encoding not in _WBITS:
        raise ValueError(f"content encoding {encoding!r} was not asked for")
    unpacker = zlib.decompressobj(wbits=_WBITS[encoding])
    try:
        body = unpacker.decompress(data, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise ValueError(f"its {encoding} body is broken: {error}") from error
    if not unpacker.eof:
        raise ValueError(f"its {encoding} body ends early, or holds more than {MAX_UNPACKED_BYTES} bytes")
    return bytearray(body)


def _length(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text[:40]!r} is not a length")
    return check_body_size(int(text))


def check_body_size(size_bytes: int) -> int:
    """The size of a body, or of what came of it so far.

    Raises:
        ValueError: no answer is as large as that.
    """
    if size_bytes < 0:
        raise ValueError(f"{size_bytes} is not a length")
    if size_bytes > MAX_UNPACKED_BYTES:
        raise ValueError(f"it tells of a body of more than {MAX_UNPACKED_BYTES} bytes")
    return size_bytes


def _header_length(headers: dict[str, str], default: int) -> int:
    return _length(headers[HEADER_LENGTH]) if HEADER_LENGTH in headers else default


def _split(body: bytearray, headers: dict[str, str]) -> tuple[bytearray, bytearray]:
    length = _header_length(headers, len(body))
    return body[:length], body[length:]


def _read_chunk() -> Generator[Need, bytes | bytearray, bytes | bytearray]:
    """The next chunk's content; empty after the last one, whose trailers carry nothing that we read."""
    line = bytes((yield Until(LINE_END)))
    size_bytes = check_body_size(int(line.removesuffix(LINE_END).partition(b";")[0].strip(), 16))
    if size_bytes:
        chunk = yield Exactly(size_bytes)
        yield Exactly(len(LINE_END))
        return chunk
    while (yield Until(LINE_END)) != LINE_END:
        continue
    return b""


def _read_chunks() -> Generator[Need, bytes | bytearray, bytearray]:
    body = bytearray()
    while chunk := (yield from _read_chunk()):
        body += chunk
        check_body_size(len(body))
    return body
