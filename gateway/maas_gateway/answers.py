"""What two servers answered to the same request, and whether it is the same.

Source of the formats: the KServe v2 protocol and Triton's binary-data extension
(https://github.com/triton-inference-server/server/blob/r24.10/docs/protocol/extension_binary_data.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

Array = np.ndarray[Any, Any]
OK_HTTP, OK_GRPC, NO_ANSWER = 200, 0, -1


@dataclass(frozen=True)
class Answer:
    """One server's answer.

    Attributes:
        status: HTTP status or gRPC code; ``NO_ANSWER`` where the server gave none that can be read.
        outputs: by name; empty where the request failed.
        request_id: as the request gave it.
    """

    status: int
    outputs: Mapping[str, Array] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True)
class Comparison:
    """How two answers differ.

    Attributes:
        equal: numbers within the tolerances, everything else alike.
        worst: largest absolute difference of two numbers; ``None`` where there are no numbers, or one of a pair that
            differs is infinite or NaN, or what differs is no number.
        where: the first output that differs, or ``status``, or ``outputs`` where names differ; empty where none does.
    """

    equal: bool
    worst: float | None
    where: str = ""


def read_http(status: int, header_length: str | None, body: bytes) -> Answer:
    """Reads an answer of ``/v2/models/MODEL/infer``.

    Args:
        status: of HTTP.
        header_length: the value of ``Inference-Header-Content-Length``: JSON bytes before the binary tensors.
        body: the answer's.
    """
    if status != OK_HTTP:
        return Answer(status)
    length = int(header_length) if header_length else len(body)
    document, rest = json.loads(body[:length]), body[length:]
    outputs = {}
    for entry in document.get("outputs", []):
        size = entry.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(entry["data"], dtype=_dtype(entry["datatype"]))
        else:
            values, rest = _from_bytes(entry["datatype"], rest[:size]), rest[size:]
        outputs[entry["name"]] = values.reshape(entry["shape"])
    return Answer(status, outputs, document.get("id", ""))


def read_grpc(message: bytes) -> Answer:
    """Reads a ``ModelInferResponse``, as Triton sends it: tensors in ``raw_output_contents``."""
    response = service_pb2.ModelInferResponse.FromString(message)
    outputs = {
        output.name: _from_bytes(output.datatype, raw).reshape(tuple(output.shape))
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    return Answer(OK_GRPC, outputs, response.id)


def compare(stable: Answer, candidate: Answer, *, rtol: float, atol: float) -> Comparison:
    """Compares; numbers that are NaN in both are alike.

    Args:
        stable: what counts as right.
        candidate: what is compared with it.
        rtol: allowed difference relative to the stable server's number.
        atol: allowed absolute difference on top.
    """
    if stable.status != candidate.status:
        return Comparison(equal=False, worst=None, where="status")
    if stable.outputs.keys() != candidate.outputs.keys():
        return Comparison(equal=False, worst=None, where="outputs")
    first, differences = "", []
    for name, wanted in stable.outputs.items():
        got = candidate.outputs[name]
        if not _alike(wanted, got, rtol, atol):
            first = first or name
            differences.append(_difference(wanted, got))
        elif np.issubdtype(wanted.dtype, np.number):
            differences.append(_difference(wanted, got))
    known = [difference for difference in differences if difference is not None]
    worst = max(known) if known and len(known) == len(differences) else None
    return Comparison(equal=not first, worst=worst, where=first)


def _alike(wanted: Array, got: Array, rtol: float, atol: float) -> bool:
    if wanted.dtype != got.dtype or wanted.shape != got.shape:
        return False
    if np.issubdtype(wanted.dtype, np.floating):
        return bool(np.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=True))
    return bool(np.array_equal(wanted, got))


def _difference(wanted: Array, got: Array) -> float | None:
    """The largest absolute difference; ``None`` where one is no finite number and the other is not the same."""
    if wanted.shape != got.shape or not all(np.issubdtype(each.dtype, np.number) for each in (wanted, got)):
        return None
    first, second = wanted.astype(np.float64), got.astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    if not np.isfinite(first[~same]).all() or not np.isfinite(second[~same]).all():
        return None
    return float(np.abs(first[~same] - second[~same]).max(initial=0.0))


def _from_bytes(datatype: str, data: bytes) -> Array:
    if datatype == "BYTES":
        return np.asarray(deserialize_bytes_tensor(data))
    if datatype == "BF16":
        # Numpy has no such type: the upper halves of FP32 numbers.
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, _dtype(datatype))


def _dtype(datatype: str) -> Any:
    return np.object_ if datatype == "BYTES" else triton_to_np_dtype(datatype)
