"""What an ONNX graph says about itself: the names, datatypes and shapes of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ort_errors import LoadError

DATATYPE_OF_ORT = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
"""ONNX Runtime's type names and Triton's: all that the two have in common."""


@dataclass(frozen=True)
class GraphTensor:
    """One input or output of a graph.

    Attributes:
        shape: batch axis included; -1 where the graph takes any size; empty for a scalar.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A graph's signature.

    Attributes:
        initializers: constants that a caller may override (ONNX Runtime's overridable initializers): optional inputs.
    """

    inputs: Mapping[str, GraphTensor]
    outputs: Mapping[str, GraphTensor]
    initializers: Mapping[str, GraphTensor]


def read_graph(session: Any) -> Graph:
    """The signature of a loaded ``onnxruntime.InferenceSession``.

    Raises:
        LoadError: an input or output is no tensor, or its element type has no counterpart in Triton.
    """
    return Graph(
        inputs=_tensors(session.get_inputs()),
        outputs=_tensors(session.get_outputs()),
        initializers=_tensors(session.get_overridable_initializers()),
    )


def _tensors(args: Iterable[Any]) -> dict[str, GraphTensor]:
    tensors = {}
    for arg in args:
        if arg.type not in DATATYPE_OF_ORT:
            raise LoadError(
                f"unsupported ONNX type '{arg.type}' for I/O '{arg.name}', expected one of {', '.join(DATATYPE_OF_ORT)}"
            )
        shape = tuple(dim if isinstance(dim, int) and dim >= 0 else -1 for dim in arg.shape)
        tensors[arg.name] = GraphTensor(arg.name, DATATYPE_OF_ORT[arg.type], shape)
    return tensors
