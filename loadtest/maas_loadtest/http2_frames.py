"""HTTP/2 frames as bytes, without I/O.

Source: RFC 9113, sections 4 (frames), 6 (their types) and 7 (error codes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client says first (RFC 9113, 3.4)."""
DEFAULT_WINDOW_BYTES = 65_535
MOST_WINDOW_BYTES = 2**31 - 1
DEFAULT_FRAME_BYTES = 1 << 14
MOST_FRAME_BYTES = (1 << 24) - 1
_HEAD = struct.Struct(">HBBBI")
_SETTING = struct.Struct(">HI")
_UINT31 = 0x7FFF_FFFF

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20
_PRIORITY_BYTES = 5

Frame = tuple[int, int, int, bytes]
"""Type, flags, stream and payload."""


class FrameType(IntEnum):
    """RFC 9113, section 6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """RFC 9113, section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


_CODE_NAMES = {int(code): code.name for code in ErrorCode}


class Http2Error(Exception):
    """The server breaks the protocol: the connection can not be used any more.

    Args:
        code: what it is told in GOAWAY.
        message: short, and the same for the same fault.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def code_name(code: int) -> str:
    """The name of an error code; unknown ones are allowed (RFC 9113, section 7)."""
    return _CODE_NAMES.get(code) or f"0x{code:x}"


def frame(kind: int, flags: int, stream_id: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame; the payload must fit the peer's SETTINGS_MAX_FRAME_SIZE."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def header_frames(stream_id: int, block: bytes) -> bytes:
    """HEADERS, and CONTINUATION where a header block is longer than the frame size that every peer takes."""
    if len(block) <= DEFAULT_FRAME_BYTES:
        return frame(FrameType.HEADERS, END_HEADERS, stream_id, block)
    chunks = [block[start : start + DEFAULT_FRAME_BYTES] for start in range(0, len(block), DEFAULT_FRAME_BYTES)]
    frames = [frame(FrameType.HEADERS, 0, stream_id, chunks[0])]
    frames += [frame(FrameType.CONTINUATION, 0, stream_id, chunk) for chunk in chunks[1:-1]]
    frames.append(frame(FrameType.CONTINUATION, END_HEADERS, stream_id, chunks[-1]))
    return b"".join(frames)


def settings_frame(values: dict[Setting, int]) -> bytes:
    """SETTINGS with these values."""
    return frame(FrameType.SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def window_update(stream_id: int, size_bytes: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection."""
    return frame(FrameType.WINDOW_UPDATE, 0, stream_id, size_bytes.to_bytes(4, "big"))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    """RST_STREAM."""
    return frame(FrameType.RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def goaway(code: ErrorCode) -> bytes:
    """GOAWAY of a client: no stream of the server's was processed, since there are none."""
    return frame(FrameType.GOAWAY, 0, 0, (0).to_bytes(4, "big") + code.to_bytes(4, "big"))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The values in a SETTINGS frame in their order."""
    if len(payload) % _SETTING.size:
        raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
    return list(_SETTING.iter_unpack(payload))


def read_uint(payload: bytes, name: str) -> int:
    """The number that is the whole payload of RST_STREAM and WINDOW_UPDATE."""
    if len(payload) != 4:
        raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, f"{name} of a wrong size")
    return int.from_bytes(payload, "big")


def read_increment(payload: bytes) -> int:
    """By how much a WINDOW_UPDATE widens a window; the highest bit is reserved."""
    increment = read_uint(payload, "WINDOW_UPDATE") & _UINT31
    if not increment:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
    return increment


def read_goaway(payload: bytes) -> tuple[int, int]:
    """The last stream that the server may have processed, and the error code."""
    if len(payload) < 8:
        raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
    return int.from_bytes(payload[:4], "big") & _UINT31, int.from_bytes(payload[4:8], "big")


def without_padding(flags: int, payload: bytes, *, has_priority: bool = False) -> bytes:
    """The payload of DATA or HEADERS without padding (6.1) and, of HEADERS, without the deprecated priority (6.2)."""
    start, end = 0, len(payload)
    if flags & PADDED:
        start, end = 1, end - (payload[0] if payload else 1)
    if has_priority and flags & PRIORITY:
        start += _PRIORITY_BYTES
    if end < start:
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "more padding than frame")
    return payload[start:end]


class FrameReader:
    """Frames out of the pieces that a socket gives.

    Args:
        most_bytes: of a frame's payload: the SETTINGS_MAX_FRAME_SIZE that the peer was told.
    """

    def __init__(self, most_bytes: int = DEFAULT_FRAME_BYTES) -> None:
        self._most_bytes = most_bytes
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now.

        Raises:
            Http2Error: one is longer than was announced; told before it has come, for garbage may never be complete.
        """
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= _HEAD.size:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(data, at)
            size = high << 8 | low
            if size > self._most_bytes:
                raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "a frame longer than SETTINGS_MAX_FRAME_SIZE")
            start = at + _HEAD.size
            if end - start < size:
                break
            at = start + size
            yield kind, flags, stream_id & _UINT31, data[start:at]
        self._rest = data[at:]
