"""gRPC for load: messages that were serialized before the run, and answers that are read only as far as needed.

The wire is our own (:mod:`maas_loadtest.grpc_connection`): under gevent each call of grpcio goes through a thread,
which costs as much latency as a fast model takes.
"""

from __future__ import annotations

import time

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as pb

from maas_client._grpc_codec import SERVICE, decode_infer, decode_stream_message
from maas_client._grpc_common import STREAM_METHOD
from maas_client._url import Endpoint
from maas_client.errors import BadAnswerError
from maas_core.golden import Tensors
from maas_loadtest.grpc_calls import StreamCall, UnaryCall, request_block
from maas_loadtest.grpc_connection import GrpcConnection
from maas_loadtest.prepared import Prepared
from maas_loadtest.sending import MESSAGE_CHARACTERS, NotProcessed, Reply, SendFailed, call_of

_MODEL_NAME_TAG = b"\x0a"
"""Field 1 of ``ModelInferResponse``, length-delimited; field 2 is the version."""
_VERSION_TAG = 0x12
_SINGLE_BYTE = 0x80


class GrpcSender:
    """One connection, over which many calls run at a time; a new one where it was lost.

    Args:
        endpoint: a grpc or grpcs address.
        timeout_s: of each call.
        headers: sent with each call, names in lower case.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._infer_block = request_block(endpoint, SERVICE + "ModelInfer", timeout_s, headers)
        self._stream_block = request_block(endpoint, STREAM_METHOD, timeout_s, headers)
        self._connections: list[GrpcConnection] = []

    def send(self, prepared: Prepared, wire: bytes) -> Reply:
        """See :class:`maas_loadtest.sending.Sender`.

        A request that the server has not touched, because it ends the connection or refuses the stream, is sent once
        more within the same time: gRPC asks that of every client (proposal A6, "Transparent Retries").
        """
        end_at = time.monotonic() + self._timeout_s
        try:
            return self._sent_once(prepared, wire, end_at)
        except NotProcessed:
            return self._sent_once(prepared, wire, end_at)

    def _sent_once(self, prepared: Prepared, wire: bytes, end_at: float) -> Reply:
        connection = self._connected()
        if prepared.kind == "stream":
            return self._streamed(connection, wire, end_at)
        call = UnaryCall(self._infer_block, wire, self._timeout_s, end_at)
        connection.start(call)
        try:
            body = call.answer()
        except BaseException:
            connection.cancel(call)
            raise
        return Reply(body, _version(body))

    def _connected(self) -> GrpcConnection:
        """Those before the last one only wait for their last answers."""
        if not self._connections or not self._connections[-1].takes_calls:
            self._connections = [one for one in self._connections if not one.is_over]
            self._connections.append(GrpcConnection(self._endpoint, self._timeout_s))
        return self._connections[-1]

    def _streamed(self, connection: GrpcConnection, wire: bytes, end_at: float) -> Reply:
        """The request side is closed only after the last answer: Triton 2.51 may end otherwise."""
        parts: list[bytes] = []
        moments: list[int] = []
        version = error = ""
        call = StreamCall(self._stream_block, wire, self._timeout_s, end_at)
        connection.start(call)
        try:
            for moment_ns, part in call.messages():
                message = pb.ModelStreamInferResponse.FromString(part)
                if error := message.error_message:
                    break
                response = message.infer_response
                version = response.model_version or version
                if response.outputs:
                    parts.append(part)
                    moments.append(moment_ns)
                if response.parameters["triton_final_response"].bool_param:
                    connection.end_request(call)
        except DecodeError as broken:
            connection.cancel(call)
            raise SendFailed("protocol", "an answer that is no message of the protocol") from broken
        except BaseException:
            connection.cancel(call)
            raise
        if error:
            # It ends by itself then: a cancellation that meets the last answer kills Triton 2.51.
            connection.end_request(call)
            raise SendFailed("status", error[:MESSAGE_CHARACTERS])
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
        while self._connections:
            self._connections.pop().close()


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
