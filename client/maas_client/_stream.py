"""Streams: one request, any number of answers. The HTTP form of it, without any I/O.

Source: Triton's "generate extension": JSON in, where a list is one axis behind the batch axis, and server-sent events
out (WHATWG HTML, 9.2), each with an object of flat output values. gRPC's ``ModelStreamInfer`` carries whole tensors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_client._calls import InferAnswer, InferCall, read_version
from maas_client._dtypes import NUMPY_OF, Array, decode
from maas_client._http_codec import HttpRequest, model_path
from maas_client._spec import ModelSpec
from maas_client.errors import BadAnswerError, InternalServerError, RefusedValueError, ShapeMismatchError


@dataclass(slots=True)
class StreamCall:
    """A request that any number of answers follow.

    Attributes:
        call: the request.
        spec: what the model takes and gives.
    """

    call: InferCall
    spec: ModelSpec


def encode_generate(stream: StreamCall) -> HttpRequest:
    """The request of a stream over HTTP.

    Raises:
        InputError: JSON cannot hold the values, or the form cannot hold their shape.
    """
    call = stream.call
    body: dict[str, Any] = dict(call.parameters)
    for (name, datatype, shape), data in zip(call.form.inputs, call.data, strict=True):
        body[name] = _json_value(stream.spec, name, decode(data, datatype, shape))
    if call.request_id:
        body["id"] = call.request_id
    return HttpRequest(
        "POST",
        f"{model_path(call.model, call.form.version)}/generate_stream",
        (("Content-Type", "application/json"), ("Accept", "text/event-stream"), *call.headers),
        (json.dumps(body).encode(),),
    )


def _json_value(spec: ModelSpec, name: str, array: Array) -> Any:
    inner = array.shape[1:] if spec.max_batch_size else array.shape
    if len(inner) > 1 or (spec.max_batch_size and len(array) != 1):
        raise ShapeMismatchError(
            f"{spec.name}: over HTTP a stream takes one row with at most one axis, {name!r} is {list(array.shape)}; "
            "use a grpc:// URL",
            model=spec.name,
        )
    values = array.ravel().tolist()
    if array.dtype.kind == "O":
        try:
            values = [value.decode() for value in values]
        except UnicodeDecodeError as error:
            raise RefusedValueError(
                f"{spec.name}: over HTTP a stream takes text, {name!r} is not UTF-8; use a grpc:// URL", model=spec.name
            ) from error
    elif array.dtype.kind == "f" and not np.isfinite(array).all():
        raise RefusedValueError(
            f"{spec.name}: over HTTP a stream takes no NaN or infinity, {name!r} has one; use a grpc:// URL",
            model=spec.name,
        )
    return values[0] if len(values) == 1 else values


def decode_event(stream: StreamCall, data: bytes, endpoint: str) -> InferAnswer:
    """One answer of a stream over HTTP.

    Raises:
        InternalServerError: the event tells an error of the model.
        BadAnswerError: it is no answer.
    """
    spec, model = stream.spec, stream.spec.name
    try:
        event = json.loads(data)
        if "error" in event and "error" not in spec.outputs:
            raise InternalServerError(f"{model} answered: {event['error']}", model=model, endpoint=endpoint, code="500")
        wanted = stream.call.form.outputs
        outputs = {
            name: _array(spec, name, event[name])
            for name in spec.outputs
            if name in event and name in (wanted or event)
        }
        version = read_version(str(event["model_version"]))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        text = str(error) if isinstance(error, ValueError) else repr(error)
        raise BadAnswerError(
            f"{model}: the answer breaks the protocol: {text}", model=model, endpoint=endpoint
        ) from error
    return InferAnswer(model, version, stream.call.request_id, outputs, {})


def _array(spec: ModelSpec, name: str, value: Any) -> Array:
    """Flat values in the model's datatype and, as far as its configuration tells it, shape."""
    tensor = spec.outputs[name]
    values = value if isinstance(value, list) else [value]
    if tensor.datatype == "BYTES":
        array: Array = np.empty(len(values), np.object_)
        array[:] = [element.encode() for element in values]
    else:
        array = np.array(values, NUMPY_OF[tensor.datatype])
    shape = (1, *tensor.shape[1:]) if spec.max_batch_size else tensor.shape
    return array.reshape(shape) if shape.count(-1) <= 1 else array
