"""One input's values, as a caller passes them, to an array of the model's datatype."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_client._dtypes import NUMPY_OF, Array
from maas_client._spec import ModelSpec, TensorSpec
from maas_client.errors import DatatypeMismatchError, InputError, RefusedValueError, ShapeMismatchError

_ALLOWED_KINDS = {"f": "iuf", "i": "iu", "u": "iu", "b": "b"}
_KIND_NAMES = {"U": "text", "S": "bytes", "f": "floats", "i": "integers", "u": "integers", "b": "booleans"}


@dataclass(frozen=True, slots=True)
class Target:
    """The input that values are brought into; it words the refusals."""

    spec: ModelSpec
    tensor: TensorSpec

    def wanted(self) -> str:
        """``FP32 [batch <= 32, 1, 28, 28]``."""
        sizes = ["any" if size < 0 else str(size) for size in self.tensor.shape]
        if self.spec.max_batch_size > 0 and sizes:
            sizes[0] = f"batch <= {self.spec.max_batch_size}"
        return f"{self.tensor.datatype} [{', '.join(sizes)}]"

    def refusal(self, kind: type[InputError], got: str, mend: str) -> InputError:
        """The error to raise: what was wanted, what came, the mend."""
        model = self.spec.name
        return kind(f"{model}: input {self.tensor.name!r} wants {self.wanted()}, got {got}; {mend}", model=model)


def told(array: Array) -> str:
    """``float64 [2, 3]``."""
    return f"{array.dtype} {list(array.shape)}"


def convert(target: Target, value: Any, *, cast: bool) -> Array:
    """Values as a C-contiguous little-endian array of ``NUMPY_OF[datatype]``; BYTES elements become ``bytes``.

    Raises:
        DatatypeMismatchError, RefusedValueError: the values are of another type, or do not fit it.
        ShapeMismatchError: nested lists are of different lengths.
    """
    if value is None:
        raise target.refusal(
            RefusedValueError, "None", "leave it out" if target.tensor.optional else "pass an array or a list"
        )
    if target.tensor.datatype == "BYTES":
        return _to_bytes(target, value)
    dtype = NUMPY_OF[target.tensor.datatype]
    if isinstance(value, np.ndarray) and value.dtype == dtype and value.flags.c_contiguous:
        return value
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        return _from_array(target, np.asarray(value), cast=cast)
    return _from_lists(target, value)


def _from_array(target: Target, array: Array, *, cast: bool) -> Array:
    dtype = NUMPY_OF[target.tensor.datatype]
    if array.dtype.kind == "O":
        return _from_lists(target, array.tolist())
    safe = np.can_cast(array.dtype, dtype, "safe")
    if array.dtype.newbyteorder("=") == dtype.newbyteorder("=") or (cast and safe):
        # ascontiguousarray makes a scalar one-dimensional.
        return np.ascontiguousarray(array, dtype).reshape(array.shape)
    mend = f"pass array.astype(np.{dtype.name})"
    if array.dtype.kind in "SU":
        mend = "text cannot be sent as numbers"
    elif safe:
        mend = f"pass cast=True or array.astype(np.{dtype.name})"
    raise target.refusal(DatatypeMismatchError, told(array), mend)


def _from_lists(target: Target, value: Any) -> Array:
    """Python numbers and lists of them have no width of their own: they take the model's, if they fit."""
    datatype = target.tensor.datatype
    dtype = NUMPY_OF[datatype]
    probe = _probe(target, value)
    if not probe.size:
        return probe.astype(dtype)
    if probe.dtype.kind not in _ALLOWED_KINDS[dtype.kind]:
        got = f"{_KIND_NAMES.get(probe.dtype.kind, str(probe.dtype))} {list(probe.shape)}"
        raise target.refusal(DatatypeMismatchError, got, "pass values of that type")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low, high = int(probe.min()), int(probe.max())
        if low < limits.min or high > limits.max:
            outlier = low if low < limits.min else high
            mend = f"{datatype} holds {limits.min} to {limits.max}"
            raise target.refusal(RefusedValueError, str(outlier), mend)
    with np.errstate(over="ignore"):
        array = probe.astype(dtype)
    if dtype.kind == "f" and np.isinf(array).any() and not np.isinf(probe).any():
        raise target.refusal(RefusedValueError, "a number too large for it", f"scale it into {datatype}'s range")
    return array


def _probe(target: Target, value: Any) -> Array:
    if isinstance(value, str | bytes | bytearray):
        raise target.refusal(DatatypeMismatchError, f"{type(value).__name__} {value[:20]!r}", "pass numbers")
    try:
        probe = np.asarray(value)
    except ValueError as error:
        raise target.refusal(ShapeMismatchError, "lists of different lengths", "make every row equally long") from error
    if probe.dtype.kind != "O":
        return probe
    flat = probe.ravel().tolist()
    if any(element is None for element in flat):
        raise target.refusal(RefusedValueError, f"None at element {flat.index(None)}", "pass a number for each element")
    odd = next((element for element in flat if not isinstance(element, int | float)), None)
    if odd is not None:
        raise target.refusal(DatatypeMismatchError, f"objects ({type(odd).__name__})", "pass numbers")
    if any(isinstance(element, int) and not -(2**63) <= element < 2**64 for element in flat):
        raise target.refusal(RefusedValueError, "an integer of more than 64 bits", "pass smaller numbers")
    return np.array(flat).reshape(probe.shape)


def _to_bytes(target: Target, value: Any) -> Array:
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        array = np.asarray(value)
    else:
        array = _object_array(target, value)
    if array.dtype.kind not in "OSU":
        raise target.refusal(DatatypeMismatchError, told(array), "pass str or bytes")
    flat = array.ravel().tolist()
    encoded = np.empty(len(flat), np.object_)
    encoded[:] = [_to_element(target, element, index) for index, element in enumerate(flat)]
    return encoded.reshape(array.shape)


def _to_element(target: Target, element: Any, index: int) -> bytes:
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError as error:
            got = f"text that UTF-8 cannot hold at element {index}"
            raise target.refusal(RefusedValueError, got, "pass bytes") from error
    if isinstance(element, bytes | bytearray | memoryview):
        return bytes(element)
    if element is None:
        raise target.refusal(RefusedValueError, f"None at element {index}", 'pass "" for an empty text')
    got = f"{type(element).__name__} at element {index}"
    raise target.refusal(DatatypeMismatchError, got, "pass str or bytes")


def _object_array(target: Target, value: Any) -> Array:
    """Nested lists of str and bytes as an object array; numpy's own conversion cuts bytes at their last NUL."""
    shape: list[int] = []
    level = value
    while isinstance(level, list | tuple):
        shape.append(len(level))
        if not level:
            break
        level = level[0]
    flat: list[Any] = []
    if not _flatten(value, shape, flat):
        raise target.refusal(ShapeMismatchError, "lists of different lengths", "make every row equally long")
    array = np.empty(len(flat), np.object_)
    array[:] = flat
    return array.reshape(shape)


def _flatten(value: Any, shape: Sequence[int], into: list[Any]) -> bool:
    if not shape:
        into.append(value)
        return not isinstance(value, list | tuple)
    if not isinstance(value, list | tuple) or len(value) != shape[0]:
        return False
    return all(_flatten(element, shape[1:], into) for element in value)
