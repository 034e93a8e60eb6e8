"""KServe v2 over HTTP: calls to requests and responses to answers, without any I/O.

Source: KServe v2 HTTP/REST protocol and Triton's extensions "binary tensor data" and "parameters".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from maas_client._calls import (
    Answer,
    Call,
    ConfigCall,
    InferAnswer,
    InferCall,
    LiveCall,
    MetadataCall,
    ReadyCall,
    RegionCall,
    RegionsCall,
    RegisterCall,
    UnregisterCall,
    check_size,
    read_version,
)
from maas_client._dtypes import NUMPY_OF, Array, decode
from maas_client.errors import BadAnswerError, MaasClientError, error_of_http, server_answer

HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without host and connection: ``body`` is sent piece by piece, so that tensors are not copied."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: tuple[bytes | memoryview, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A whole response. Header names are in lower case.

    Attributes:
        head: the first ``Inference-Header-Content-Length`` bytes of the body, or all of it without that header.
        tail: what follows: the binary tensors.
    """

    status: int
    headers: Mapping[str, str]
    head: bytes | bytearray
    tail: bytearray


def encode_call(call: Call) -> HttpRequest:
    """The request of one call."""
    if isinstance(call, InferCall):
        return _encode_infer(call)
    if isinstance(call, LiveCall):
        return HttpRequest("GET", "/v2/health/live")
    if isinstance(call, ReadyCall):
        path = f"{model_path(call.model, call.version)}/ready" if call.model else "/v2/health/ready"
        return HttpRequest("GET", path)
    if isinstance(call, MetadataCall):
        return HttpRequest("GET", model_path(call.model, call.version) if call.model else "/v2")
    if isinstance(call, ConfigCall):
        return HttpRequest("GET", f"{model_path(call.model, call.version)}/config")
    return _encode_region(call)


def _encode_region(call: RegionCall) -> HttpRequest:
    """Source: Triton's "system shared memory extension"."""
    base = "/v2/systemsharedmemory"
    if isinstance(call, RegionsCall):
        return HttpRequest("GET", f"{base}/status")
    if isinstance(call, UnregisterCall):
        return HttpRequest("POST", f"{base}/region/{quote(call.region, safe='')}/unregister")
    body = json.dumps({"key": f"/{call.region}", "offset": 0, "byte_size": call.size_bytes}).encode()
    return HttpRequest("POST", f"{base}/region/{quote(call.region, safe='')}/register", (), (body,))


def model_path(model: str, version: str) -> str:
    """``/v2/models/MODEL``, with the version where one is asked for."""
    path = f"/v2/models/{quote(model, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _encode_infer(call: InferCall) -> HttpRequest:
    if (
        call.parameters
        or call.request_id
        or call.shared
        or "BYTES" in (datatype for _, datatype, _ in call.form.inputs)
    ):
        head = _infer_head(call)
    else:
        head = call.form.heads.get("http") or call.form.heads.setdefault("http", _infer_head(call))
    check_size(call, len(head) + sum(map(len, call.data)))
    return HttpRequest(
        "POST",
        f"{model_path(call.model, call.form.version)}/infer",
        (
            ("Content-Type", "application/octet-stream"),
            ("Inference-Header-Content-Length", str(len(head))),
            *call.headers,
        ),
        (head, *call.data),
    )


def _infer_head(call: InferCall) -> bytes:
    header: dict[str, Any] = {
        "inputs": [
            {"name": name, "shape": shape, "datatype": datatype, "parameters": parameters}
            for (name, datatype, shape), parameters in zip(call.form.inputs, _input_parameters(call), strict=True)
        ],
        "parameters": {**call.parameters, "binary_data_output": True},
    }
    if call.request_id:
        header["id"] = call.request_id
    if call.shared or call.form.outputs:
        names = call.shared.outputs if call.shared else call.form.outputs
        header["outputs"] = [{"name": name, "parameters": _output_parameters(call, name)} for name in names]
    return json.dumps(header, separators=(",", ":")).encode()


def _input_parameters(call: InferCall) -> list[dict[str, Any]]:
    if call.shared:
        return [call.shared.parameters(place) for place in call.shared.inputs]
    return [{"binary_data_size": len(data)} for data in call.data]


def _output_parameters(call: InferCall, name: str) -> dict[str, Any]:
    place = call.shared.outputs[name] if call.shared else None
    if call.shared and place:
        return dict(call.shared.parameters(place))
    of_classes = {"classification": call.form.class_count} if call.form.class_count else {}
    return {"binary_data": True, **of_classes}


def decode_response(call: Call, response: HttpResponse, endpoint: str) -> Answer:
    """The answer in a response.

    Raises:
        ServerError, TransportError: the response is an error, by ``maas_client.errors.ERROR_TABLE``.
        BadAnswerError: the response does not follow the protocol.
    """
    # Triton says "not ready" with 400 and of a model that it does not know with 404, a gateway with 503.
    if isinstance(call, LiveCall | ReadyCall) and response.status in {200, 400, 404, 503}:
        return response.status == 200
    if response.status != 200:
        raise error_of(call, response, endpoint)
    if isinstance(call, InferCall):
        return _decode_infer(call, response, endpoint)
    if isinstance(call, RegisterCall | UnregisterCall):
        return True
    if isinstance(call, RegionsCall):
        return _decode_regions(call, response, endpoint)
    return _json_object(response.head, call, endpoint)


def _decode_regions(call: RegionsCall, response: HttpResponse, endpoint: str) -> dict[str, Any]:
    try:
        return {entry["name"]: entry for entry in json.loads(response.head)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _bad(call, endpoint, f"its list of regions cannot be read: {error!r}") from error


def error_of(call: Call, response: HttpResponse, endpoint: str) -> MaasClientError:
    """The exception that an error response stands for."""
    text = bytes(response.head + response.tail)
    try:
        message = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        message = text[:200].decode("utf-8", "replace").strip() or "no explanation"
    retry_after = response.headers.get("retry-after", "")
    return server_answer(
        error_of_http(response.status),
        f"{call.model or 'the server'} answered {response.status}: {message}",
        endpoint=endpoint,
        code=str(response.status),
        model=call.model,
        # The other form, an HTTP date, needs clocks that agree: not used by the servers that we call.
        retry_after_s=float(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else None,
    )


def _json_object(data: bytes | bytearray, call: Call, endpoint: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _bad(call, endpoint, f"its JSON cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise _bad(call, endpoint, f"it is a JSON {type(value).__name__}, not an object")
    return value


def _bad(call: Call, endpoint: str, what: str) -> BadAnswerError:
    message = f"{call.model or 'the server'}: the answer breaks the protocol: {what}"
    return BadAnswerError(message, model=call.model, endpoint=endpoint)


def _decode_infer(call: InferCall, response: HttpResponse, endpoint: str) -> InferAnswer:
    header = _json_object(response.head, call, endpoint)
    outputs: dict[str, Array] = {}
    position = 0
    tail = memoryview(response.tail)
    try:
        for entry in header.get("outputs", ()):
            shape = tuple(int(size) for size in entry["shape"])
            placed = call.shared.output(entry["name"], entry["datatype"], shape) if call.shared else None
            if placed is not None:
                outputs[entry["name"]] = decode(placed, entry["datatype"], shape)
                continue
            size_bytes = entry.get("parameters", {}).get("binary_data_size")
            if size_bytes is None:
                outputs[entry["name"]] = _from_json(entry, shape)
                continue
            piece = tail[position : position + size_bytes]
            position += size_bytes
            outputs[entry["name"]] = decode(piece, entry["datatype"], shape)
        model, version = str(header["model_name"]), read_version(str(header.get("model_version", "")))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _bad(call, endpoint, str(error) if isinstance(error, ValueError) else repr(error)) from error
    if position != len(tail):
        raise _bad(call, endpoint, f"{len(tail)} bytes of tensors came, its header tells of {position}")
    return InferAnswer(model, version, str(header.get("id", "")), outputs, header.get("parameters", {}))


def _from_json(entry: Mapping[str, Any], shape: tuple[int, ...]) -> Array:
    """An output whose values are in the JSON itself, as servers without the binary extension send them."""
    datatype = entry["datatype"]
    if datatype != "BYTES":
        return np.array(entry["data"], NUMPY_OF[datatype]).reshape(shape)
    array = np.empty(len(entry["data"]), np.object_)
    array[:] = [element.encode() for element in entry["data"]]
    return array.reshape(shape)
