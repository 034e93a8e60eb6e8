"""gRPC over grpcio's asyncio channel."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import grpc
import grpc.aio

from maas_client._calls import Answer, Call, LiveCall, ReadyCall
from maas_client._deadline import Deadline
from maas_client._grpc_codec import decode_message, encode_call
from maas_client._grpc_common import (
    CHANNEL_OPTIONS,
    compression,
    credentials,
    error_of_rpc,
    means_no,
    metadata,
    prepare,
)
from maas_client._options import Options
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
                message, timeout=deadline.remaining_s(), metadata=self._metadata, compression=self._compression
            )
        except grpc.RpcError as error:
            if isinstance(call, LiveCall | ReadyCall) and means_no(error):
                return False
            raise error_of_rpc(error, call, deadline, self.endpoint) from error
        return decode_message(call, data, str(self.endpoint))

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
