"""How tensors look in this backend: numpy arrays, BF16 as its bit patterns.

The table of datatypes stands in ``maas_core`` too; a backend must run where only Triton, numpy and ONNX Runtime are
installed, so it imports nothing of ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

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
    "BF16": np.uint16,
}
"""The dtype of an array that holds a tensor of this datatype; there is no numpy dtype for BF16."""


def zeros(datatype: str, shape: tuple[int, ...]) -> Array:
    """A tensor of zeros, or of empty strings."""
    return np.full(shape, "" if datatype == "BYTES" else 0, NUMPY_OF[datatype])
