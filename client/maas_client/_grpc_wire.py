"""gRPC over grpcio's synchronous channel."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc

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


class _Channel:
    """The channel of one process and its methods."""

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self.pid = os.getpid()
        self.methods: dict[str, Callable[..., bytes]] = {}
        target = prepare(endpoint)
        if endpoint.is_secure:
            self.channel = grpc.secure_channel(target, credentials(options), options=CHANNEL_OPTIONS)
        else:
            self.channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)

    def method(self, path: str) -> Callable[..., bytes]:
        """Makes the callable of a unary method, from bytes to bytes."""
        made: Callable[..., bytes] = self.channel.unary_unary(path)
        return self.methods.setdefault(path, made)


class GrpcWire:
    """Carries calls to one gRPC endpoint. It may be used from many threads.

    Args:
        endpoint: a grpc or grpcs address.
        options: headers, TLS, compression.
    """

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self.endpoint = endpoint
        self._options = options
        self._metadata = metadata(options)
        self._compression = compression(options)
        self._channel = _Channel(endpoint, options)

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Sends one call and waits for its answer.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        path, message = encode_call(call)
        channel = self._own_channel()
        method = channel.methods.get(path) or channel.method(path)
        try:
            data = method(
                message,
                timeout=deadline.remaining_s(),
                metadata=self._metadata + call.headers if isinstance(call, InferCall) else self._metadata,
                compression=self._compression,
            )
        except grpc.RpcError as error:
            if isinstance(call, LiveCall | ReadyCall) and means_no(error):
                return False
            raise error_of_rpc(error, call, deadline, self.endpoint) from error
        except ValueError as error:
            # grpcio's own for a channel that another thread closed; all else was checked before.
            raise cancelled_by_close(call, self.endpoint) from error
        return decode_message(call, data, str(self.endpoint))

    def stream(self, stream: StreamCall, deadline: Deadline) -> Iterator[InferAnswer]:
        """Sends one request and yields its answers; closing the iterator cancels on the server.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        call = stream.call
        message = encode_stream(call)
        is_over = threading.Event()

        def requests() -> Iterator[bytes]:
            yield message
            # Ending here half-closes the stream; a server whose client then dies aborts (Triton 2.51).
            is_over.wait()

        answers = self._own_channel().channel.stream_stream(STREAM_METHOD)(
            requests(),
            timeout=deadline.remaining_s(),
            metadata=self._metadata + call.headers,
            compression=self._compression,
        )
        try:
            for data in answers:
                answer, is_last = decode_stream_message(call, data, str(self.endpoint))
                if answer is not None:
                    yield answer
                if is_last:
                    is_over.set()
        except grpc.RpcError as error:
            raise error_of_rpc(error, call, deadline, self.endpoint) from error
        finally:
            _leave(answers, is_over)

    def close(self) -> None:
        """Closes the channel; calls under way end with ``CallCancelledError``."""
        if self._channel.pid == os.getpid():
            self._channel.channel.close()

    def _own_channel(self) -> _Channel:
        if self._channel.pid != os.getpid():
            # grpcio does not promise that a channel lives on in a forked child.
            self._channel = _Channel(self.endpoint, self._options)
        return self._channel


def _leave(answers: Any, is_over: threading.Event) -> None:
    """Ends a stream: by itself if it does so soon, or else by cancelling it."""
    timer = threading.Timer(LEAVE_S, answers.cancel)
    timer.start()
    try:
        while answers.is_active():
            if is_last_message(next(answers)):
                is_over.set()
    except (grpc.RpcError, StopIteration):
        return  # it has ended: nobody waits for how
    finally:
        timer.cancel()
        answers.cancel()
        is_over.set()
