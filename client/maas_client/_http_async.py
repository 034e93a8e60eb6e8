"""HTTP over asyncio streams: the tasks of a loop share a pool of kept connections."""

from __future__ import annotations

import asyncio
import select
import weakref
from collections.abc import AsyncGenerator

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
from maas_client._http_codec import HttpResponse, decode_response, encode_call, error_of
from maas_client._http_common import RequestEncoder, answer_errors, connect_errors
from maas_client._options import Options
from maas_client._stream import StreamCall, decode_event, encode_generate
from maas_client._url import Endpoint

_MAX_IDLE = 64


class AsyncHttpWire:
    """Carries calls to one HTTP endpoint. Each event loop has connections of its own.

    Args:
        endpoint: an http or https address.
        options: headers, TLS, compression.
    """

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self.endpoint = endpoint
        self._encoder = RequestEncoder(endpoint, options)
        self._ssl = options.tls.context() if endpoint.is_secure else None
        self._idle: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Connection]] = (
            weakref.WeakKeyDictionary()
        )

    async def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Sends one call and waits for its answer.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        pieces = self._encoder.pieces(encode_call(call))
        idle = self._idle.setdefault(asyncio.get_running_loop(), [])
        connection = _take(idle)
        if connection is None:
            with connect_errors(call, deadline, self.endpoint):
                connection = await self._connect(deadline)
        keep = False
        try:
            with answer_errors(call, deadline, self.endpoint):
                async with asyncio.timeout(deadline.remaining_s()):
                    response, keep = await connection.exchange(pieces)
        finally:
            if keep and len(idle) < _MAX_IDLE and connection.is_usable():
                idle.append(connection)
            else:
                connection.close()
        return decode_response(call, response, str(self.endpoint))

    async def stream(self, stream: StreamCall, deadline: Deadline) -> AsyncGenerator[InferAnswer, None]:
        """Sends one request and yields its answers; closing the iterator hangs up, which cancels on the server.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        pieces = self._encoder.pieces(encode_generate(stream))
        with connect_errors(stream.call, deadline, self.endpoint):
            connection = await self._connect(deadline)
        try:
            steps = connection.events(pieces)
            while True:
                with answer_errors(stream.call, deadline, self.endpoint):
                    async with asyncio.timeout(deadline.remaining_s()):
                        step = await anext(steps, None)
                if isinstance(step, HttpResponse):
                    raise error_of(stream.call, step, str(self.endpoint))
                if step is None:
                    return
                yield decode_event(stream, step.data, str(self.endpoint))
        finally:
            connection.close()

    async def close(self) -> None:
        """Closes the idle connections of the running loop; those of other loops end with their loop."""
        for connection in self._idle.pop(asyncio.get_running_loop(), []):
            connection.close()
            await connection.closed()

    async def _connect(self, deadline: Deadline) -> _Connection:
        async with asyncio.timeout(deadline.remaining_s()):
            reader, writer = await asyncio.open_connection(
                self.endpoint.host, self.endpoint.port, ssl=self._ssl, limit=MAX_HEAD_BYTES
            )
        return _Connection(reader, writer)


def _take(idle: list[_Connection]) -> _Connection | None:
    while idle:
        connection = idle.pop()
        if connection.is_usable():
            return connection
        connection.close()
    return None


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def is_usable(self) -> bool:
        """Whether the server has neither closed the idle connection nor sent what nobody asked for."""
        return not (self._writer.is_closing() or self._has_unread() or self._has_unreceived())

    def _has_unread(self) -> bool:
        """Whether the reader holds bytes, the end or an error: only where it has none of these, a read would wait."""
        reading = self._reader.read(1)
        try:
            reading.send(None)
        except (StopIteration, OSError):
            return True
        reading.close()
        return False

    def _has_unreceived(self) -> bool:
        """Whether the socket holds what the event loop had no time for yet."""
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        self._writer.close()

    async def closed(self) -> None:
        """Waits until the socket is closed; that the server was first is no error."""
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def exchange(self, pieces: tuple[bytes | memoryview, ...]) -> tuple[HttpResponse, bool]:
        for piece in pieces:
            self._writer.write(piece)
        await self._writer.drain()
        reader = read_response()
        need: Need = next(reader)
        while True:
            try:
                need = reader.send(await self._read(need))
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # StopIteration.value is not typed

    async def events(self, pieces: tuple[bytes | memoryview, ...]) -> AsyncGenerator[Event | HttpResponse, None]:
        for piece in pieces:
            self._writer.write(piece)
        await self._writer.drain()
        reader = read_events()
        step: Need | Event = next(reader)
        while True:
            data: bytes | bytearray = b""
            if isinstance(step, Event):
                yield step
            else:
                data = await self._read(step)
            try:
                step = reader.send(data)
            except StopIteration as stop:
                if stop.value is not None:
                    yield stop.value
                return

    async def _read(self, need: Need) -> bytes | bytearray:
        try:
            if isinstance(need, Exactly):
                return await self._reader.readexactly(need.size_bytes)
            if isinstance(need, Until):
                return await self._reader.readuntil(need.separator)
            rest = bytearray()
            while data := await self._reader.read(MAX_HEAD_BYTES):
                rest += data
                check_body_size(len(rest))
            return rest
        except asyncio.IncompleteReadError as error:
            of_all = f" of {error.expected} bytes" if error.expected else ""
            raise EOFError(f"the server closed it after {len(error.partial)}{of_all}") from error
        except asyncio.LimitOverrunError as error:
            raise ValueError(f"more than {MAX_HEAD_BYTES} bytes of headers") from error
