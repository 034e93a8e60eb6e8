"""Triton's tensor datatypes and their numpy and ONNX counterparts.

Source: Triton's ``model_config.proto`` (``DataType``) and ONNX's ``TensorProto.DataType``. BF16 has no numpy dtype: it
is carried as ``uint16`` bit patterns in this module's tables and as FP32 by the clients.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NUMPY_OF: dict[str, npt.DTypeLike] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})

ONNX_OF: dict[str, int] = {
    "FP32": 1,
    "UINT8": 2,
    "INT8": 3,
    "UINT16": 4,
    "INT16": 5,
    "INT32": 6,
    "INT64": 7,
    "BYTES": 8,
    "BOOL": 9,
    "FP16": 10,
    "FP64": 11,
    "UINT32": 12,
    "UINT64": 13,
    "BF16": 16,
}
TRITON_OF_ONNX = {number: name for name, number in ONNX_OF.items()}
TRITON_OF_NUMPY = {np.dtype(dtype): name for name, dtype in NUMPY_OF.items()}


def config_name(datatype: str) -> str:
    """The name that ``config.pbtxt`` uses: ``FP32`` -> ``TYPE_FP32``, ``BYTES`` -> ``TYPE_STRING``."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def datatype_of_config(name: str) -> str:
    """The inverse of :func:`config_name`."""
    return "BYTES" if name == "TYPE_STRING" else name.removeprefix("TYPE_")
