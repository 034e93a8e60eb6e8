"""gRPC over grpcio's synchronous channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from maas_client._calls import Answer, Call, LiveCall, ReadyCall
from maas_client._deadline import Deadline
from maas_client._grpc_codec import MAX_MESSAGE_BYTES, decode_message, encode_call
from maas_client._url import Endpoint
from maas_client.errors import (
    ERROR_OF_GRPC,
    DeadlineExceededError,
    MaasClientError,
    UnreachableError,
    server_answer,
)

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # After a restart of the server the default waits up to two minutes before it tries again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class GrpcWire:
    """Carries calls to one gRPC endpoint. It may be used from many threads.

    Args:
        endpoint: a grpc or grpcs address.
        headers: sent with every request.
        credentials: for grpcs; None is the system's trust.
    """

    def __init__(
        self, endpoint: Endpoint, headers: Mapping[str, str], credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        self.endpoint = endpoint
        self._metadata = tuple((name.lower(), value) for name, value in headers.items())
        if endpoint.is_secure:
            self._channel = grpc.secure_channel(
                endpoint.authority, credentials or grpc.ssl_channel_credentials(), options=CHANNEL_OPTIONS
            )
        else:
            self._channel = grpc.insecure_channel(endpoint.authority, options=CHANNEL_OPTIONS)
        self._methods: dict[str, Callable[..., bytes]] = {}

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Sends one call and waits for its answer.

        Raises:
            TransportError, ServerError: by ``maas_client.errors.ERROR_TABLE``.
        """
        path, message = encode_call(call)
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self._channel.unary_unary(path)
        try:
            data = method(message, timeout=deadline.remaining_s(), metadata=self._metadata)
        except grpc.RpcError as error:
            if isinstance(call, LiveCall | ReadyCall) and means_no(error):
                return False
            raise error_of_rpc(error, call, deadline, str(self.endpoint)) from error
        return decode_message(call, data, str(self.endpoint))

    def close(self) -> None:
        """Closes the channel; calls under way end with ``CallCancelledError``."""
        self._channel.close()


def means_no(error: Any) -> bool:
    """Whether a health call's error means "no": the model or version is not there, or not ready."""
    return error.code().name in {"NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION"}


def error_of_rpc(error: Any, call: Call, deadline: Deadline, endpoint: str) -> MaasClientError:
    """Translates grpcio's error by ``maas_client.errors.ERROR_TABLE``."""
    status, details = error.code().name, error.details() or "no explanation"
    if status == "UNAVAILABLE" and "failed to connect" in details:
        reason = details.rpartition("; last error: ")[2]
        return UnreachableError(
            f"no server reachable: {reason}; start it (maas serve) or correct the URL",
            model=call.model,
            endpoint=endpoint,
        )
    kind = ERROR_OF_GRPC[status]
    if issubclass(kind, DeadlineExceededError):
        return deadline.error(call.model, endpoint, "waiting for the answer")
    return server_answer(
        kind,
        f"{call.model or 'the server'} answered {status}: {details}",
        endpoint=endpoint,
        code=status,
        model=call.model,
    )
