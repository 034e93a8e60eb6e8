"""gRPC for load: messages that were serialized before the run, and answers that are read only as far as needed.

Under gevent grpcio must be told of it before the first channel, and channels must be made after a fork: the sender is
made where it is used.
"""

from __future__ import annotations

import time
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from maas_client._grpc_codec import SERVICE, decode_infer, decode_stream_message
from maas_client._grpc_common import CHANNEL_OPTIONS, STREAM_METHOD, prepare
from maas_client._url import Endpoint
from maas_client.errors import BadAnswerError
from maas_core.golden import Tensors
from maas_loadtest.prepared import Prepared
from maas_loadtest.sending import Reply, SendFailed, call_of

_MESSAGE_CHARACTERS = 160
_MODEL_NAME_TAG = b"\x0a"
"""Field 1 of ``ModelInferResponse``, length-delimited; field 2 is the version."""
_VERSION_TAG = 0x12
_SINGLE_BYTE = 0x80


class GrpcSender:
    """One channel; gRPC itself runs many calls over its connection.

    Args:
        endpoint: a grpc or grpcs address.
        timeout_s: of each call.
        headers: sent with each call, names in lower case.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        target = prepare(endpoint)
        # A pool of its own: two senders of one process shall not share a connection.
        options = (*CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        self._channel = (
            grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)
            if endpoint.is_secure
            else grpc.insecure_channel(target, options)
        )
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._metadata = headers or None
        # Without serializers the bytes go as they are.
        self._infer: Any = self._channel.unary_unary(SERVICE + "ModelInfer")
        self._stream: Any = self._channel.stream_stream(STREAM_METHOD)

    def send(self, prepared: Prepared, wire: bytes) -> Reply:
        """See :class:`maas_loadtest.sending.Sender`."""
        try:
            if prepared.kind == "stream":
                return self._streamed(wire)
            body: bytes = self._infer(wire, self._timeout_s, self._metadata)
        except grpc.RpcError as error:
            raise _failed(error, self._timeout_s) from error
        return Reply(body, _version(body))

    def _streamed(self, wire: bytes) -> Reply:
        """The request side is closed only after the last answer: Triton 2.51 may end otherwise."""
        parts: list[bytes] = []
        moments: list[int] = []
        requests = _OneThenWait(wire)
        call = self._stream(requests, timeout=self._timeout_s, metadata=self._metadata)
        version = ""
        try:
            for part in call:
                now = time.monotonic_ns()
                message = pb.ModelStreamInferResponse.FromString(part)
                if message.error_message:
                    raise SendFailed("status", message.error_message[:_MESSAGE_CHARACTERS])
                response = message.infer_response
                version = response.model_version or version
                if response.outputs:
                    parts.append(part)
                    moments.append(now)
                if response.parameters["triton_final_response"].bool_param:
                    requests.end()
        except DecodeError as error:
            raise SendFailed("protocol", "an answer that is no message of the protocol") from error
        finally:
            requests.end()
        return Reply(b"", version, 0, tuple(parts), tuple(moments))

    def outputs(self, prepared: Prepared, reply: Reply) -> Tensors:
        """See :class:`maas_loadtest.sending.Sender`."""
        call = call_of(prepared)
        if prepared.kind == "stream":
            found = [decode_stream_message(call, part, str(self._endpoint))[0] for part in reply.parts]
            answers = [answer.outputs for answer in found if answer is not None]
            return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
        try:
            return decode_infer(call, reply.body).outputs
        except (ValueError, DecodeError) as error:
            raise BadAnswerError(f"{prepared.model}: the answer breaks the protocol: {error}") from error

    def close(self) -> None:
        """See :class:`maas_loadtest.sending.Sender`."""
        self._channel.close()


class _OneThenWait:
    """The request side of a stream: one message, then nothing until the answers are complete."""

    def __init__(self, wire: bytes) -> None:
        # Imported where the sender is used: under gevent this is a cooperative lock.
        import threading

        self._wire: bytes | None = wire
        self._over = threading.Event()

    def __iter__(self) -> _OneThenWait:
        return self

    def __next__(self) -> bytes:
        if self._wire is not None:
            wire, self._wire = self._wire, None
            return wire
        self._over.wait()
        raise StopIteration

    def end(self) -> None:
        self._over.set()


def _version(body: bytes) -> str:
    """``model_version``, read from the first two fields where they are as every server writes them."""
    if body[:1] == _MODEL_NAME_TAG and len(body) > 3 and body[1] < _SINGLE_BYTE:
        position = 2 + body[1]
        if len(body) > position + 1 and body[position] == _VERSION_TAG:
            start = position + 2
            return body[start : start + body[position + 1]].decode("ascii", "replace")
    try:
        return str(pb.ModelInferResponse.FromString(body).model_version)
    except DecodeError as error:
        raise SendFailed("protocol", "an answer that is no message of the protocol") from error


def _failed(error: Any, timeout_s: float) -> SendFailed:
    status, details = error.code().name, error.details() or "no explanation"
    if status == "DEADLINE_EXCEEDED":
        return SendFailed("timeout", f"no answer within {timeout_s:g} s")
    if status == "UNAVAILABLE" and "connect" in details.lower():
        return SendFailed("unreachable", "no connection")
    return SendFailed("status", f"{status}: {details[:_MESSAGE_CHARACTERS]}")
