"""Tensors between Triton and numpy, datatype by datatype.

Two datatypes need help. ``BYTES`` arrives as ``bytes`` objects, while ONNX strings are UTF-8 text, ``str`` in Python.
``BF16`` has no numpy dtype: in this backend it is an array of its bit patterns (uint16), and crosses over to Triton by
DLPack.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils
from ort_arrays import Array
from ort_errors import RequestError

Reader = Callable[[pb_utils.Tensor], Array]
Writer = Callable[[str, Array], pb_utils.Tensor]

ONNX_BFLOAT16 = 16
"""``TensorProto.DataType.BFLOAT16``."""


def reader_of(datatype: str, *, scalar: bool) -> Reader:
    """How to read an input of this datatype.

    Args:
        datatype: as in requests.
        scalar: the graph's tensor has no dimensions, while Triton's has one, of size 1.
    """
    read: Reader = {"BYTES": _read_text, "BF16": _read_bits}.get(datatype, pb_utils.Tensor.as_numpy)
    return (lambda tensor: _as_scalar(tensor.name(), read(tensor))) if scalar else read


def writer_of(datatype: str) -> Writer:
    """How to make an output of this datatype."""
    return _write_bits if datatype == "BF16" else pb_utils.Tensor


def bits_of(value: ort.OrtValue) -> Array:
    """The bit patterns of a BF16 ``OrtValue``, copied."""
    shape = value.shape()
    if 0 in shape:
        return np.empty(shape, np.uint16)
    memory = (ctypes.c_uint16 * math.prod(shape)).from_address(value.data_ptr())
    return np.frombuffer(memory, np.uint16).reshape(shape).copy()


def value_of_bits(bits: Array) -> ort.OrtValue:
    """A BF16 ``OrtValue`` over ``bits``, which it keeps alive."""
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(np.ascontiguousarray(bits), ONNX_BFLOAT16)


def _as_scalar(name: str, array: Array) -> Array:
    if array.size != 1:
        raise RequestError(
            f"input '{name}' is a scalar in the graph, but the request holds {array.size} elements of it"
        )
    return array.reshape(())


def _read_text(tensor: pb_utils.Tensor) -> Array:
    array = tensor.as_numpy()
    text = np.empty(array.shape, np.object_)
    try:
        text.reshape(-1)[:] = [element.decode() for element in array.reshape(-1)]
    except UnicodeDecodeError as error:
        raise RequestError(
            f"input '{tensor.name()}' is no UTF-8 text, which is all that ONNX strings hold: {error}"
        ) from None
    return text


def _read_bits(tensor: pb_utils.Tensor) -> Array:
    return bits_of(ort.OrtValue.from_dlpack(tensor.to_dlpack()))


def _write_bits(name: str, array: Array) -> pb_utils.Tensor:
    return pb_utils.Tensor.from_dlpack(name, value_of_bits(array))
