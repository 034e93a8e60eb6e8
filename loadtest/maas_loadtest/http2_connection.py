"""The client's side of an HTTP/2 connection as a state machine: bytes in, bytes and the streams' own methods out.

As much of RFC 9113 as calls need: no push, no priorities, no streams that the server opens. Nothing here waits: what
flow control or SETTINGS_MAX_CONCURRENT_STREAMS hold back goes out when the server lets it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from maas_loadtest.http2_frames import (
    ACK,
    DEFAULT_FRAME_BYTES,
    DEFAULT_WINDOW_BYTES,
    END_HEADERS,
    END_STREAM,
    MOST_FRAME_BYTES,
    MOST_WINDOW_BYTES,
    PREFACE,
    ErrorCode,
    FrameReader,
    FrameType,
    Http2Error,
    Setting,
    code_name,
    frame,
    header_frames,
    read_goaway,
    read_increment,
    read_settings,
    read_uint,
    rst_stream,
    settings_frame,
    window_update,
    without_padding,
)
from maas_loadtest.http2_headers import HeaderDecoder, HeaderMap
from maas_loadtest.sending import NotProcessed, SendFailed

MOST_STREAM_ID = 2**31 - 1
_MOST_BLOCK_BYTES = 1 << 16
"""Of a header block in several frames; gRPC's own limit is 8 to 16 KiB."""
_WINDOW_LOW_BYTES = 1 << 30
_SETTINGS = {
    Setting.HEADER_TABLE_SIZE: 0,
    Setting.ENABLE_PUSH: 0,
    Setting.INITIAL_WINDOW_SIZE: MOST_WINDOW_BYTES,
}
_PING_BYTES = 8


class Stream(ABC):
    """One call; a subclass says what to do with what comes.

    Attributes:
        stream_id: 0 as long as it waits for its turn.
        block: its header block.
        pending: what is left to be sent of it.
        ends_request: whether nothing follows after ``pending``.
        send_window_bytes: how much the server takes on this stream.
        received_bytes: since its own window was last widened.
    """

    def __init__(self, block: bytes, request: bytes, *, ends_request: bool) -> None:
        self.stream_id = 0
        self.block = block
        self.pending = memoryview(request)
        self.ends_request = ends_request
        self.send_window_bytes = 0
        self.received_bytes = 0

    @abstractmethod
    def on_headers(self, headers: HeaderMap) -> None:
        """The head of the answer, or its trailers."""

    @abstractmethod
    def on_data(self, data: bytes) -> None:
        """A piece of the answer."""

    @abstractmethod
    def on_end(self) -> None:
        """The answer is whole."""

    @abstractmethod
    def on_reset(self, code: int) -> None:
        """The server gave the stream up."""

    @abstractmethod
    def on_failed(self, failure: SendFailed) -> None:
        """The connection is of no more use to this stream."""


class Http2Connection:
    """One connection.

    Attributes:
        is_ready: the server's SETTINGS have come; until then all streams wait.
        is_closing: no new stream may be opened; those that are open may still be answered.
    """

    def __init__(self) -> None:
        self.is_ready = False
        self.is_closing = False
        own_window = window_update(0, MOST_WINDOW_BYTES - DEFAULT_WINDOW_BYTES)
        self._output = [PREFACE + settings_frame(_SETTINGS) + own_window]
        self._frames = FrameReader()
        self._headers = HeaderDecoder()
        self._streams: dict[int, Stream] = {}
        self._waiting: deque[Stream] = deque()
        self._next_id = 1
        self._most_streams = 0
        self._most_frame_bytes = DEFAULT_FRAME_BYTES
        self._initial_window_bytes = DEFAULT_WINDOW_BYTES
        self._send_window_bytes = DEFAULT_WINDOW_BYTES
        self._received_bytes = 0
        self._continued: tuple[int, int, bytes] | None = None
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            FrameType.DATA: self._on_data,
            FrameType.HEADERS: self._on_headers,
            FrameType.CONTINUATION: self._on_continuation,
            FrameType.RST_STREAM: self._on_rst_stream,
            FrameType.SETTINGS: self._on_settings,
            FrameType.PUSH_PROMISE: self._on_push_promise,
            FrameType.PING: self._on_ping,
            FrameType.GOAWAY: self._on_goaway,
            FrameType.WINDOW_UPDATE: self._on_window_update,
        }

    @property
    def takes_streams(self) -> bool:
        """Whether one more may be asked for: numbers are never given twice (5.1.1)."""
        return not self.is_closing and self._next_id + 2 * len(self._waiting) <= MOST_STREAM_ID

    @property
    def is_over(self) -> bool:
        """Whether nothing can come any more that anybody waits for."""
        return self.is_closing and not self._streams

    @property
    def has_output(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._output)

    def take_output(self) -> bytes:
        """What is to be written now."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def open(self, stream: Stream) -> None:
        """Sends a request as soon as the server takes one more; only where :attr:`takes_streams`."""
        if len(self._streams) < self._most_streams:
            self._open(stream)
        else:
            self._waiting.append(stream)

    def end_request(self, stream: Stream) -> None:
        """Closes the request side of a stream that was opened without its end."""
        if stream.ends_request:
            return
        stream.ends_request = True
        if stream.stream_id in self._streams and not stream.pending:
            self._output.append(frame(FrameType.DATA, END_STREAM, stream.stream_id))

    def cancel(self, stream: Stream) -> None:
        """Tells the server that nobody waits any more; nothing where the stream is over."""
        if self._streams.pop(stream.stream_id, None) is not None:
            self._output.append(rst_stream(stream.stream_id, ErrorCode.CANCEL))
            self._open_waiting()
        elif stream in self._waiting:
            self._waiting.remove(stream)

    def fail(self, failure: SendFailed) -> None:
        """The connection is lost: so is whatever waits."""
        self.is_closing = True
        lost = [*self._streams.values(), *self._waiting]
        self._streams.clear()
        self._waiting.clear()
        for stream in lost:
            stream.on_failed(failure)

    def receive(self, data: bytes) -> None:
        """Takes what the server sent.

        Raises:
            Http2Error: it breaks the protocol.
        """
        for kind, flags, stream_id, payload in self._frames.feed(data):
            if self._continued is not None and kind != FrameType.CONTINUATION:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a frame between HEADERS and CONTINUATION")
            if not self.is_ready and kind != FrameType.SETTINGS:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "the server does not begin with SETTINGS")
            handler = self._handlers.get(kind)
            # Unknown types are ignored (4.1), and so is PRIORITY, which is deprecated (5.3.2).
            if handler is not None:
                handler(flags, stream_id, payload)

    def _open(self, stream: Stream) -> None:
        stream.stream_id = self._next_id
        self._next_id += 2
        stream.send_window_bytes = self._initial_window_bytes
        self._streams[stream.stream_id] = stream
        self._output.append(header_frames(stream.stream_id, stream.block))
        self._send_data(stream)

    def _open_waiting(self) -> None:
        while self._waiting and len(self._streams) < self._most_streams:
            self._open(self._waiting.popleft())

    def _send_data(self, stream: Stream) -> None:
        """As much as flow control lets out (6.9)."""
        while stream.pending:
            size = min(len(stream.pending), self._most_frame_bytes, self._send_window_bytes, stream.send_window_bytes)
            if size <= 0:
                return
            piece, stream.pending = stream.pending[:size], stream.pending[size:]
            flags = END_STREAM if stream.ends_request and not stream.pending else 0
            self._output.append(frame(FrameType.DATA, flags, stream.stream_id, piece))
            self._send_window_bytes -= size
            stream.send_window_bytes -= size

    def _send_pending(self) -> None:
        for stream in self._streams.values():
            if stream.pending:
                self._send_data(stream)

    def _known(self, stream_id: int) -> Stream | None:
        """None where the stream is over: frames may still be under way then (5.1)."""
        stream = self._streams.get(stream_id)
        if stream is None and (stream_id % 2 == 0 or stream_id >= self._next_id):
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a frame of a stream that was never opened")
        return stream

    def _end(self, stream: Stream) -> None:
        """The server has said all; a request that is not whole is not wanted any more (8.1)."""
        del self._streams[stream.stream_id]
        if stream.pending or not stream.ends_request:
            self._output.append(rst_stream(stream.stream_id, ErrorCode.NO_ERROR))
        stream.on_end()
        self._open_waiting()

    def _on_data(self, flags: int, stream_id: int, payload: bytes) -> None:
        # Padding counts, and so does what nobody waits for any more (6.9.1).
        self._received_bytes = self._widened(0, self._received_bytes + len(payload))
        stream = self._known(stream_id)
        if stream is None:
            return
        stream.received_bytes = self._widened(stream_id, stream.received_bytes + len(payload))
        stream.on_data(without_padding(flags, payload))
        if flags & END_STREAM:
            self._end(stream)

    def _widened(self, stream_id: int, received_bytes: int) -> int:
        """Widens a receive window that gets low; how much has been received since."""
        if received_bytes < _WINDOW_LOW_BYTES:
            return received_bytes
        self._output.append(window_update(stream_id, received_bytes))
        return 0

    def _on_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = without_padding(flags, payload, has_priority=True)
        if flags & END_HEADERS:
            self._on_block(flags, stream_id, block)
        else:
            self._continued = stream_id, flags, block

    def _on_continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._continued is None or self._continued[0] != stream_id:
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        _, first_flags, block = self._continued
        block += payload
        if len(block) > _MOST_BLOCK_BYTES:
            raise Http2Error(ErrorCode.ENHANCE_YOUR_CALM, "headers of more than 64 KiB")
        if flags & END_HEADERS:
            self._continued = None
            self._on_block(first_flags, stream_id, block)
        else:
            self._continued = stream_id, first_flags, block

    def _on_block(self, flags: int, stream_id: int, block: bytes) -> None:
        stream = self._known(stream_id)
        # Blocks have no state: one that nobody waits for need not be decoded.
        if stream is None:
            return
        stream.on_headers(self._headers.decode(block))
        if flags & END_STREAM:
            self._end(stream)

    def _on_rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:  # as every handler
        code = read_uint(payload, "RST_STREAM")
        stream = self._known(stream_id)
        if stream is None:
            return
        del self._streams[stream_id]
        if code == ErrorCode.REFUSED_STREAM:
            # It takes fewer than it promised (grpcio counts streams for a while after their end): so many and no more.
            self._most_streams = max(1, min(self._most_streams, len(self._streams)))
        stream.on_reset(code)
        self._open_waiting()

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id or (flags & ACK and payload):
            raise Http2Error(ErrorCode.PROTOCOL_ERROR, "SETTINGS of a stream, or an acknowledgement with values")
        if flags & ACK:
            return
        if not self.is_ready:
            # Without a limit any number may be opened (6.5.2).
            self.is_ready, self._most_streams = True, MOST_STREAM_ID
        for name, value in read_settings(payload):
            self._set(name, value)
        self._output.append(frame(FrameType.SETTINGS, ACK, 0))
        self._send_pending()
        self._open_waiting()

    def _set(self, name: int, value: int) -> None:
        if name == Setting.MAX_CONCURRENT_STREAMS:
            self._most_streams = value
        elif name == Setting.MAX_FRAME_SIZE:
            if not DEFAULT_FRAME_BYTES <= value <= MOST_FRAME_BYTES:
                raise Http2Error(ErrorCode.PROTOCOL_ERROR, "a SETTINGS_MAX_FRAME_SIZE that is not allowed")
            self._most_frame_bytes = value
        elif name == Setting.INITIAL_WINDOW_SIZE:
            if value > MOST_WINDOW_BYTES:
                raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "a SETTINGS_INITIAL_WINDOW_SIZE that is not allowed")
            # Open streams change by the difference, which may leave them below zero (6.9.2).
            for stream in self._streams.values():
                stream.send_window_bytes += value - self._initial_window_bytes
            self._initial_window_bytes = value

    def _on_push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:  # as every handler
        raise Http2Error(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which was switched off")

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id or len(payload) != _PING_BYTES:
            raise Http2Error(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong size")
        if not flags & ACK:
            self._output.append(frame(FrameType.PING, ACK, 0, payload))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:  # as every handler
        last_id, code = read_goaway(payload)
        self.is_closing = True
        not_sent = [stream for stream in self._streams.values() if stream.stream_id > last_id]
        for stream in not_sent:
            del self._streams[stream.stream_id]
        not_sent += self._waiting
        self._waiting.clear()
        for stream in not_sent:
            stream.on_failed(
                NotProcessed("connection", f"not sent: the server closes the connection ({code_name(code)})")
            )

    def _on_window_update(self, flags: int, stream_id: int, payload: bytes) -> None:  # as every handler
        increment = read_increment(payload)
        if stream_id == 0:
            self._send_window_bytes = _wider(self._send_window_bytes, increment)
            self._send_pending()
            return
        stream = self._known(stream_id)
        if stream is not None:
            stream.send_window_bytes = _wider(stream.send_window_bytes, increment)
            self._send_data(stream)


def _wider(window_bytes: int, increment: int) -> int:
    if window_bytes + increment > MOST_WINDOW_BYTES:
        raise Http2Error(ErrorCode.FLOW_CONTROL_ERROR, "a window beyond 2^31 - 1")
    return window_bytes + increment
