"""What the synchronous and the asynchronous gRPC wire share."""

from __future__ import annotations

import re
import sys
from typing import Any

import grpc

from maas_client._calls import MAX_REQUEST_BYTES, Call
from maas_client._deadline import Deadline
from maas_client._options import Options
from maas_client._url import Endpoint
from maas_client.errors import (
    ERROR_OF_GRPC,
    CallCancelledError,
    ConnectionLostError,
    DeadlineExceededError,
    MaasClientError,
    UnreachableError,
    server_answer,
)

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    # After a restart of the server the default waits up to two minutes before it tries again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_NOT_CONNECTED = re.compile(r"failed to connect|DNS resolution failed|empty address list", re.IGNORECASE)
_LOST = re.compile(r"socket closed|connection reset|broken pipe|goaway|end of file|transport closed", re.IGNORECASE)
"""grpcio's own words; a server that says UNAVAILABLE says something else."""


def prepare(endpoint: Endpoint) -> str:
    """What must be done before a channel is made, and the channel's target.

    Under gevent a waiting call stops all other greenlets unless grpcio is told of it, and ``localhost`` is never
    resolved.
    """
    patched = sys.modules.get("gevent.monkey")
    if patched is None or not patched.is_module_patched("socket"):
        return endpoint.authority
    import grpc.experimental.gevent

    grpc.experimental.gevent.init_gevent()
    return f"127.0.0.1:{endpoint.port}" if endpoint.host == "localhost" else endpoint.authority


STREAM_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
"""Without the header ``triton_grpc_error``: Triton 2.51 dies of a model's error in a stream that carries it."""


LEAVE_S = 0.1
"""How long a stream that its caller left may still end by itself before it is cancelled: a cancellation that meets the
last answer kills Triton 2.51 (about one in 130 where it is provoked), so short streams are let run out."""


def credentials(options: Options) -> grpc.ChannelCredentials:
    """For grpcs."""
    tls = options.tls
    return grpc.ssl_channel_credentials(tls.pem("ca_file"), tls.pem("key_file"), tls.pem("cert_file"))


def metadata(options: Options) -> tuple[tuple[str, str], ...]:
    """The options' headers as gRPC carries them."""
    return tuple((name.lower(), value) for name, value in options.headers)


def compression(options: Options) -> grpc.Compression | None:
    """The options' compression as grpcio names it."""
    known = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}
    return known[options.compression] if options.compression else None


def means_no(error: Any) -> bool:
    """Whether a health call's error means "no": the model or version is not there, or not ready."""
    return error.code().name in {"NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION"}


def cancelled_by_close(call: Call, endpoint: Endpoint) -> CallCancelledError:
    """What a call ends with whose client is closed meanwhile."""
    return CallCancelledError(
        f"{call.model or 'the server'}: the client was closed before the answer came",
        model=call.model,
        endpoint=str(endpoint),
    )


def error_of_rpc(error: Any, call: Call, deadline: Deadline, endpoint: Endpoint) -> MaasClientError:
    """Translates grpcio's error by ``maas_client.errors.ERROR_TABLE``."""
    status, details = error.code().name, error.details() or "no explanation"
    where, who = str(endpoint), call.model or "the server"
    if status == "UNAVAILABLE" and _NOT_CONNECTED.search(details):
        return UnreachableError(
            f"no server reachable: {details.rpartition(': ')[2]}; start it (maas serve) or correct the URL",
            model=call.model,
            endpoint=where,
        )
    if status == "UNAVAILABLE" and _LOST.search(details):
        return ConnectionLostError(
            f"{who}: the connection ended before the whole answer came: {details}", model=call.model, endpoint=where
        )
    kind = ERROR_OF_GRPC[status]
    if issubclass(kind, DeadlineExceededError) and deadline.timeout_s is not None:
        return deadline.error(call.model, where, "waiting for the answer")
    return server_answer(kind, f"{who} answered {status}: {details}", endpoint=where, code=status, model=call.model)
