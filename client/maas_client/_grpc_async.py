"""gRPC over grpcio's asyncio channel."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio

from maas_client._calls import Answer, Call, InferAnswer, InferCall, LiveCall, ReadyCall
from maas_client._deadline import Deadline
from maas_client._grpc_codec import (
    decode_message,
    decode_stream_message,
    encode_call,
    encode_stream,
    is_last_message,
)
from maas_client._grpc_common import (
    CHANNEL_OPTIONS,
    LEAVE_S,
    STREAM_METHOD,
    cancelled_by_close,
    compression,
    credentials,
    error_of_rpc,
    means_no,
    metadata,
    prepare,
)
from maas_client._options import Options
from maas_client._stream import StreamCall
from maas_client._url import Endpoint


class AsyncGrpcWire:
    """Carries calls to one gRPC endpoint. Each event loop has a channel of its own.

    Args:
        endpoint: a grpc or grpcs address.
        options: headers, TLS, compression.
    """

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self.endpoint = endpoint
        self._options = options
        self._metadata = metadata(options)
        self._compression = compression(options)
        self._channels: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    async def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Sends one call and waits for its answer.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        path, message = encode_call(call)
        try:
            data = await self._channel().unary_unary(path)(
                message,
                timeout=deadline.remaining_s(),
                metadata=self._metadata + call.headers if isinstance(call, InferCall) else self._metadata,
                compression=self._compression,
            )
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled the caller: the channel was closed under its call.
            raise cancelled_by_close(call, self.endpoint) from None
        except grpc.RpcError as error:
            if isinstance(call, LiveCall | ReadyCall) and means_no(error):
                return False
            raise error_of_rpc(error, call, deadline, self.endpoint) from error
        return decode_message(call, data, str(self.endpoint))

    async def stream(self, stream: StreamCall, deadline: Deadline) -> AsyncGenerator[InferAnswer, None]:
        """Sends one request and yields its answers; closing the iterator cancels on the server.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        call = stream.call
        answers = self._channel().stream_stream(STREAM_METHOD)(
            timeout=deadline.remaining_s(),
            metadata=self._metadata + call.headers,
            compression=self._compression,
        )
        try:
            await answers.write(encode_stream(call))
            while (data := await answers.read()) is not grpc.aio.EOF:
                answer, is_last = decode_stream_message(call, data, str(self.endpoint))
                if answer is not None:
                    yield answer
                if is_last:
                    # Not before: a server whose client half-closes and then dies aborts (Triton 2.51).
                    await answers.done_writing()
        except grpc.RpcError as error:
            raise error_of_rpc(error, call, deadline, self.endpoint) from error
        finally:
            await _leave(answers)

    async def close(self) -> None:
        """Closes the running loop's channel; calls under way end with ``CallCancelledError``."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel is not None:
            await channel.close()

    def _channel(self) -> Any:
        loop = asyncio.get_running_loop()
        channel = self._channels.get(loop)
        if channel is None:
            where = prepare(self.endpoint)
            if self.endpoint.is_secure:
                channel = grpc.aio.secure_channel(where, credentials(self._options), options=CHANNEL_OPTIONS)
            else:
                channel = grpc.aio.insecure_channel(where, options=CHANNEL_OPTIONS)
            self._channels[loop] = channel
        return channel


async def _leave(answers: Any) -> None:
    """Ends a stream: by itself if it does so soon, or else by cancelling it."""
    try:
        async with asyncio.timeout(LEAVE_S):
            while not answers.done() and (data := await answers.read()) is not grpc.aio.EOF:
                if is_last_message(data):
                    await answers.done_writing()
    except (grpc.RpcError, TimeoutError):
        return  # it has ended, or is not going to: nobody waits for how
    finally:
        answers.cancel()
