"""KServe v2 over gRPC: calls to messages and messages to answers, without any I/O.

Source: Triton's ``grpc_service.proto`` (the classes are tritonclient's). Tensors go through ``raw_input_contents`` and
``raw_output_contents``. These two fields are written and read here by the protobuf wire format itself (a field is a
tag, for bytes a length, and the bytes; fields may come in any order): the protobuf library copies each tensor twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from google.protobuf.message import DecodeError, Message
from tritonclient.grpc import service_pb2 as pb

from maas_client._calls import (
    Answer,
    Call,
    ConfigCall,
    InferAnswer,
    InferCall,
    LiveCall,
    MetadataCall,
    ParameterValue,
    ReadyCall,
    RegionCall,
    RegionsCall,
    RegisterCall,
    RequestForm,
    SharedTensors,
    UnregisterCall,
    check_size,
    read_version,
)
from maas_client._dtypes import ITEM_SIZE_BYTES, NUMPY_OF, Array, decode
from maas_client._protobuf import bytes_field, split_bytes_field, to_dict
from maas_client.errors import BadAnswerError, InternalServerError

SERVICE = "/inference.GRPCInferenceService/"
_COPY_BELOW_BYTES = 65536
"""The library's two copies of a small message cost less than reading its fields in Python."""
RAW_INPUT_CONTENTS: int = pb.ModelInferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
RAW_OUTPUT_CONTENTS: int = pb.ModelInferResponse.DESCRIPTOR.fields_by_name["raw_output_contents"].number


def encode_call(call: Call) -> tuple[str, bytes]:
    """The method's path and the request message of one call."""
    if isinstance(call, InferCall):
        return SERVICE + "ModelInfer", encode_infer(call)
    method, message = _control_message(call)
    return SERVICE + method, message.SerializeToString()


def _control_message(call: Call) -> tuple[str, Message]:
    if isinstance(call, LiveCall):
        return "ServerLive", pb.ServerLiveRequest()
    if isinstance(call, ConfigCall):
        return "ModelConfig", pb.ModelConfigRequest(name=call.model, version=call.version)
    if isinstance(call, ReadyCall | MetadataCall):
        return _described_message(call)
    if isinstance(call, RegisterCall | UnregisterCall | RegionsCall):
        return _region_message(call)
    raise TypeError(f"{type(call).__name__} is no control call")


def _described_message(call: ReadyCall | MetadataCall) -> tuple[str, Message]:
    """Of a model, or of the server."""
    if isinstance(call, ReadyCall):
        if call.model:
            return "ModelReady", pb.ModelReadyRequest(name=call.model, version=call.version)
        return "ServerReady", pb.ServerReadyRequest()
    if call.model:
        return "ModelMetadata", pb.ModelMetadataRequest(name=call.model, version=call.version)
    return "ServerMetadata", pb.ServerMetadataRequest()


def _region_message(call: RegionCall) -> tuple[str, Message]:
    """Source: Triton's "system shared memory extension"."""
    if isinstance(call, RegisterCall):
        return "SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(
            name=call.region, key=f"/{call.region}", offset=0, byte_size=call.size_bytes
        )
    if isinstance(call, UnregisterCall):
        return "SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name=call.region)
    return "SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()


def encode_infer(call: InferCall) -> bytes:
    """The bytes of a ``ModelInferRequest``.

    Raises:
        RefusedValueError: the message would have 2 GiB or more.
    """
    form = call.form
    if call.shared:
        head = _shared_head(form, call.shared)
    else:
        head = form.heads.get("grpc") or form.heads.setdefault("grpc", _infer_head(form))
    pieces: list[bytes | memoryview] = [head]
    if call.parameters or call.request_id:
        # Concatenated messages merge: what differs from call to call follows what does not.
        message = pb.ModelInferRequest(id=call.request_id)
        _set_parameters(message.parameters, call.parameters)
        pieces.append(message.SerializeToString())
    for data in call.data:
        pieces += (bytes_field(RAW_INPUT_CONTENTS, len(data)), data)
    check_size(call, sum(map(len, pieces)))
    return b"".join(pieces)


def _infer_head(form: RequestForm) -> bytes:
    message = pb.ModelInferRequest(model_name=form.model, model_version=form.version)
    for name, datatype, shape in form.inputs:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
    for name in form.outputs:
        _add_output(message, form, name)
    head: bytes = message.SerializeToString()
    return head


def _add_output(message: Any, form: RequestForm, name: str) -> Any:
    output = message.outputs.add(name=name)
    if form.class_count:
        output.parameters["classification"].int64_param = form.class_count
    return output


def _shared_head(form: RequestForm, shared: SharedTensors) -> bytes:
    message = pb.ModelInferRequest(model_name=form.model, model_version=form.version)
    for (name, datatype, shape), place in zip(form.inputs, shared.inputs, strict=True):
        tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
        _set_parameters(tensor.parameters, shared.parameters(place))
    for name, output_place in shared.outputs.items():
        output = _add_output(message, form, name)
        if output_place:
            _set_parameters(output.parameters, shared.parameters(output_place))
    head: bytes = message.SerializeToString()
    return head


def _set_parameters(parameters: Any, values: Mapping[str, ParameterValue]) -> None:
    for key, value in values.items():
        _set_parameter(parameters[key], value)


def _set_parameter(parameter: Any, value: ParameterValue) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value


class _Parsed(Protocol):
    FromString: Callable[[bytes], Any]


_RESPONSES_OF: dict[type[Call], tuple[_Parsed, _Parsed]] = {
    LiveCall: (pb.ServerLiveResponse, pb.ServerLiveResponse),
    ReadyCall: (pb.ModelReadyResponse, pb.ServerReadyResponse),
    MetadataCall: (pb.ModelMetadataResponse, pb.ServerMetadataResponse),
    ConfigCall: (pb.ModelConfigResponse, pb.ModelConfigResponse),
    RegisterCall: (pb.SystemSharedMemoryRegisterResponse, pb.SystemSharedMemoryRegisterResponse),
    UnregisterCall: (pb.SystemSharedMemoryUnregisterResponse, pb.SystemSharedMemoryUnregisterResponse),
    RegionsCall: (pb.SystemSharedMemoryStatusResponse, pb.SystemSharedMemoryStatusResponse),
}
"""The response to a call about a model, and to one about the server."""


def _response_type(call: Call) -> _Parsed:
    of_model, of_server = _RESPONSES_OF[type(call)]
    return of_model if call.model else of_server


def decode_message(call: Call, data: bytes, endpoint: str) -> Answer:
    """The answer in a response message.

    Raises:
        BadAnswerError: the message does not follow the protocol.
    """
    try:
        if isinstance(call, InferCall):
            return decode_infer(call, data)
        message = _response_type(call).FromString(data)
    except (DecodeError, ValueError) as error:
        raise BadAnswerError(
            f"{call.model or 'the server'}: the answer breaks the protocol: {error}",
            model=call.model,
            endpoint=endpoint,
        ) from error
    if isinstance(call, LiveCall):
        return bool(message.live)
    if isinstance(call, ReadyCall):
        return bool(message.ready)
    if isinstance(call, RegisterCall | UnregisterCall):
        return True
    if isinstance(call, RegionsCall):
        return dict(message.regions)
    return to_dict(message.config if isinstance(call, ConfigCall) else message)


class _Pattern(NamedTuple):
    """What answers to requests of one form have in common: all but the values, which stand at the end.

    Attributes:
        beginning: model, version, names, datatypes and shapes, as bytes.
        size_bytes: of the whole message.
        outputs: of each one name, datatype and shape, the bytes before its values, and how many bytes these are.
    """

    beginning: bytes
    size_bytes: int
    model: str
    version: int
    outputs: tuple[tuple[str, str, tuple[int, ...], bytes, int], ...]

    @classmethod
    def of(cls, data: bytes, answer: InferAnswer, datatypes: Mapping[str, str]) -> _Pattern | None:
        """The pattern of an answer; None where the next one may look otherwise (texts, an id, parameters)."""
        if answer.request_id or answer.parameters or "BYTES" in datatypes.values():
            return None
        outputs = []
        for name, array in answer.outputs.items():
            size_bytes = array.size * ITEM_SIZE_BYTES[datatypes[name]]
            outputs.append(
                (name, datatypes[name], array.shape, bytes_field(RAW_OUTPUT_CONTENTS, size_bytes), size_bytes)
            )
        end_bytes = sum(len(head) + size_bytes for _, _, _, head, size_bytes in outputs)
        beginning = data[: len(data) - end_bytes]
        pattern = cls(beginning, len(data), answer.model, answer.version, tuple(outputs))
        # Fields may come in any order; the values need not be at the end.
        return pattern if pattern.read(data) else None

    def read(self, data: bytes) -> InferAnswer | None:
        """The answer in a message that follows the pattern, None where it does not."""
        if len(data) != self.size_bytes or not data.startswith(self.beginning):
            return None
        view = memoryview(data)
        position = len(self.beginning)
        outputs: dict[str, Array] = {}
        for name, datatype, shape, head, size_bytes in self.outputs:
            if not data.startswith(head, position):
                return None
            position += len(head)
            values = view[position : position + size_bytes]
            # The size fits by the pattern, so that nothing is left to check but for the odd one of the datatypes.
            outputs[name] = (
                decode(values, datatype, shape)
                if datatype == "BF16"
                else np.ndarray(shape, NUMPY_OF[datatype], bytearray(values))
            )
            position += size_bytes
        return InferAnswer(self.model, self.version, "", outputs, {})


def decode_infer(call: InferCall, data: bytes) -> InferAnswer:
    """Reads the bytes of a ``ModelInferResponse``.

    Raises:
        ValueError, DecodeError: they are not one.
    """
    pattern: _Pattern | None = call.form.patterns.get("grpc")
    known = pattern.read(data) if pattern and not call.shared else None
    if known:
        return known
    if len(data) < _COPY_BELOW_BYTES:
        message = pb.ModelInferResponse.FromString(data)
        answer = _answer(message, message.raw_output_contents, call.shared)
    else:
        rest, raw = split_bytes_field(data, RAW_OUTPUT_CONTENTS)
        message = pb.ModelInferResponse.FromString(rest)
        answer = _answer(message, raw, call.shared)
    if not call.shared:
        datatypes = {output.name: output.datatype for output in message.outputs}
        call.form.patterns["grpc"] = _Pattern.of(data, answer, datatypes)
    return answer


def encode_stream(call: InferCall) -> bytes:
    """The request of a stream: the server tells which answer is the last one."""
    parameters = {**call.parameters, "triton_enable_empty_final_response": True}
    return encode_infer(replace(call, parameters=parameters))


def decode_stream_message(call: InferCall, data: bytes, endpoint: str) -> tuple[InferAnswer | None, bool]:
    """One answer of a stream, None where the message only ends it, and whether it was the last.

    Raises:
        InternalServerError: the message tells an error of the model.
        BadAnswerError: the message does not follow the protocol.
    """
    try:
        message = pb.ModelStreamInferResponse.FromString(data)
        if message.error_message:
            text = f"{call.model} answered: {message.error_message}"
            raise InternalServerError(text, model=call.model, endpoint=endpoint, code="INTERNAL")
        response = message.infer_response
        is_last = response.parameters["triton_final_response"].bool_param
        if is_last and not response.outputs:
            return None, True
        return _answer(response, response.raw_output_contents), is_last
    except (DecodeError, ValueError) as error:
        raise BadAnswerError(
            f"{call.model}: the answer breaks the protocol: {error}", model=call.model, endpoint=endpoint
        ) from error


def is_last_message(data: bytes) -> bool:
    """Whether no answer of the stream follows."""
    response = pb.ModelStreamInferResponse.FromString(data).infer_response
    return bool(response.parameters["triton_final_response"].bool_param)


def _answer(message: Any, raw: Sequence[bytes | memoryview], shared: SharedTensors | None = None) -> InferAnswer:
    if len(raw) != len(message.outputs):
        raise ValueError(f"{len(message.outputs)} outputs are described and {len(raw)} came")
    outputs: dict[str, Array] = {}
    for output, piece in zip(message.outputs, raw, strict=True):
        shape = tuple(output.shape)
        placed = shared.output(output.name, output.datatype, shape) if shared else None
        outputs[output.name] = decode(piece if placed is None else placed, output.datatype, shape)
    parameters = {key: _parameter(value) for key, value in message.parameters.items()}
    return InferAnswer(message.model_name, read_version(message.model_version), message.id, outputs, parameters)


def _parameter(parameter: Any) -> ParameterValue:
    value: ParameterValue = getattr(parameter, parameter.WhichOneof("parameter_choice") or "string_param")
    return value
