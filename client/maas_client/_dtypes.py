"""Triton's tensor datatypes as bytes on the wire.

Source: the KServe v2 protocol, "Tensor Data", and its binary tensor data extension: numbers little-endian in row-major
order; each BYTES element is a 4-byte little-endian length and that many bytes. BF16 is the upper half of an FP32 and is
float32 at this library's surface.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NUMPY_OF: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BF16": np.dtype("<f4"),
    "BYTES": np.dtype(np.object_),
}
"""The numpy dtype of each datatype at the library's surface."""

FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
ITEM_SIZE_BYTES = {name: 2 if name == "BF16" else dtype.itemsize for name, dtype in NUMPY_OF.items() if name != "BYTES"}
_LENGTH = struct.Struct("<I")


def encode(array: Array, datatype: str) -> memoryview | bytes:
    """The wire bytes of a C-contiguous array of dtype ``NUMPY_OF[datatype]``; a view of its memory where possible."""
    if datatype == "BYTES":
        return b"".join(_prefixed(array.ravel().tolist()))
    if datatype == "BF16":
        array = _to_bf16(array)
    # A memoryview of a zero-size array cannot be cast.
    return array.data.cast("B") if array.size else b""


def _prefixed(elements: Iterable[bytes]) -> Iterable[bytes]:
    for element in elements:
        yield _LENGTH.pack(len(element))
        yield element


def _to_bf16(array: Array) -> Array:
    """FP32 -> the upper 16 bits, rounded to the nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet_nan = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(array), quiet_nan, rounded).astype("<u2").reshape(-1)


def decode(data: bytes | bytearray | memoryview, datatype: str, shape: tuple[int, ...]) -> Array:
    """The array that wire bytes stand for: ``NUMPY_OF[datatype]``, aligned and writable.

    Raises:
        ValueError: the number of bytes does not fit datatype and shape.
    """
    if datatype not in NUMPY_OF:
        raise ValueError(f"unknown datatype {datatype!r}")
    if min(shape, default=0) < 0:
        raise ValueError(f"the shape {list(shape)} has a negative dimension")
    count = math.prod(shape)
    if datatype == "BYTES":
        return _decode_bytes(memoryview(data), count).reshape(shape)
    wanted_bytes = count * ITEM_SIZE_BYTES[datatype]
    if len(data) != wanted_bytes:
        raise ValueError(f"{datatype} {list(shape)} needs {wanted_bytes} bytes, got {len(data)}")
    if datatype == "BF16":
        return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(shape)
    if isinstance(data, memoryview) and not data.readonly:
        array: Array = np.ndarray(shape, NUMPY_OF[datatype], data)
        return array if array.flags.aligned else array.copy()
    # Memory of its own: writable, and aligned as Python allocates it.
    return np.ndarray(shape, NUMPY_OF[datatype], bytearray(data))


def _decode_bytes(data: memoryview, count: int) -> Array:
    elements: list[bytes] = []
    position = 0
    while position < len(data):
        if position + _LENGTH.size > len(data):
            raise ValueError("BYTES data ends inside a length")
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if position + length > len(data):
            raise ValueError(f"BYTES data ends inside element {len(elements)}")
        elements.append(bytes(data[position : position + length]))
        position += length
    if len(elements) != count:
        raise ValueError(f"BYTES data holds {len(elements)} elements, its shape asks for {count}")
    array = np.empty(count, np.object_)
    array[:] = elements
    return array
