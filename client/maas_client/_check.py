"""Checks of a call before it is sent: every refusal says what was wanted, what came and the mend."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from maas_client._convert import Target, convert, told
from maas_client._dtypes import FLOATS, Array
from maas_client._spec import ModelSpec
from maas_client.errors import DatatypeMismatchError, NameMismatchError, RefusedValueError, ShapeMismatchError

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}")


def check_model_name(model: str) -> str:
    """A name that can be a folder of a model repository.

    Raises:
        NameMismatchError: it cannot.
    """
    if not isinstance(model, str) or not _MODEL_NAME.fullmatch(model):
        shown = repr(model) if len(repr(model)) <= 60 else f"{repr(model)[:60]}..."
        raise NameMismatchError(
            f"a model's name is 1 to 255 letters, digits, '_', '.', '+' or '-', got {shown}; correct the name"
        )
    return model


def check_version(version: int | str | None, model: str) -> str:
    """A version as the protocol carries it; "" where the server is to choose.

    Raises:
        RefusedValueError: it is not a positive integer.
    """
    if version is None or version == "":
        return ""
    text = str(version)
    if isinstance(version, bool) or not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise RefusedValueError(
            f"{model}: model_version is a positive integer, got {version!r}; leave it out for the newest", model=model
        )
    return text


def check_inputs(
    spec: ModelSpec, inputs: Mapping[str, Any], *, cast: bool = False, any_batch_size: bool = False
) -> dict[str, Array]:
    """Brings all inputs into the model's datatypes and checks names, shapes, batch size and values.

    Args:
        spec: the model's.
        inputs: name -> numpy array, anything with ``__array__``, nested lists, a scalar, str or bytes.
        cast: allow numpy's "safe" casts of arrays (uint8 -> FP32, but not float64 -> FP32).
        any_batch_size: allow more rows than ``max_batch_size``.

    Returns:
        name -> C-contiguous little-endian array, in the model's order.

    Raises:
        InputError: one of its kinds, for the first input that does not fit.
    """
    _check_names(spec, inputs)
    arrays: dict[str, Array] = {}
    for name, tensor in spec.inputs.items():
        if name in inputs:
            target = Target(spec, tensor)
            array = convert(target, inputs[name], cast=cast)
            if array.ndim == 0 and all(size in {-1, 1} for size in tensor.shape):
                array = array.reshape((1,) * len(tensor.shape))
            _check_shape(target, array)
            arrays[name] = array
    if spec.reject_nonfinite:
        check_finite(spec, arrays)
    if spec.max_batch_size > 0:
        _check_batch(spec, arrays, math.inf if any_batch_size else spec.max_batch_size)
    return arrays


def check_finite(spec: ModelSpec, arrays: Mapping[str, Array]) -> None:
    """Refuses NaN and infinity in any input.

    Raises:
        RefusedValueError: with the place of the first one.
    """
    for name, array in arrays.items():
        if spec.inputs[name].datatype not in FLOATS:
            continue
        finite = np.isfinite(array)
        if not finite.all():
            where = np.argwhere(~finite)[0].tolist()
            mend = "this model refuses NaN and infinity: replace or drop them"
            raise Target(spec, spec.inputs[name]).refusal(RefusedValueError, f"{array[tuple(where)]} at {where}", mend)


def check_outputs(spec: ModelSpec, outputs: Sequence[str] | None) -> tuple[str, ...]:
    """The outputs asked for; empty for all.

    Raises:
        NameMismatchError: the model has no such output, or one is named twice.
    """
    model = spec.name
    if isinstance(outputs, str):
        raise NameMismatchError(
            f"{model}: outputs is a list of names, got the string {outputs!r}; pass [{outputs!r}]", model=model
        )
    names = tuple(outputs or ())
    for name in names:
        if name not in spec.outputs:
            known = hint(name, spec.outputs)
            raise NameMismatchError(f"{model} has no output {name!r}; it gives {known}", model=model)
    if len(set(names)) != len(names):
        raise NameMismatchError(f"{model}: {list(names)} names an output twice; name each once", model=model)
    return names


def check_class_count(spec: ModelSpec, outputs: Sequence[str], class_count: int) -> tuple[str, ...]:
    """The outputs whose best classes are asked for, all by name.

    Raises:
        RefusedValueError: the number makes no sense.
        DatatypeMismatchError: an output holds no numbers to order.
    """
    if isinstance(class_count, bool) or not isinstance(class_count, int) or class_count < 1:
        raise RefusedValueError(
            f"{spec.name}: class_count is a positive integer, got {class_count!r}; leave it out for the values",
            model=spec.name,
        )
    names = tuple(outputs or spec.outputs)
    for name in names:
        if spec.outputs[name].datatype in {"BYTES", "BOOL"}:
            raise DatatypeMismatchError(
                f"{spec.name}: class_count wants outputs of numbers, {name!r} is {spec.outputs[name].datatype}; name "
                "the others as outputs=[...]",
                model=spec.name,
            )
    return names


def _check_names(spec: ModelSpec, inputs: Mapping[str, Any]) -> None:
    for name in inputs:
        if name not in spec.inputs:
            known = hint(name, spec.inputs)
            raise NameMismatchError(f"{spec.name} has no input {name!r}; it takes {known}", model=spec.name)
    missing = [name for name, tensor in spec.inputs.items() if name not in inputs and not tensor.optional]
    if missing:
        got = _listed(inputs) if inputs else "none"
        raise NameMismatchError(
            f"{spec.name} wants the inputs {_listed(spec.inputs)}, got {got}; pass {_listed(missing)} too",
            model=spec.name,
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def hint(name: object, known: Iterable[str]) -> str:
    """The known names, and the one that was probably meant."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return _listed(known) + (f": did you mean {close[0]!r}?" if close else "")


def _check_shape(target: Target, array: Array) -> None:
    wanted, batched = target.tensor.shape, target.spec.max_batch_size > 0
    if array.ndim != len(wanted):
        mend = f"its rank must be {len(wanted)}, not {array.ndim}"
        if batched and array.ndim == len(wanted) - 1 and _fits(array.shape, wanted[1:]):
            mend = "add the batch axis: array[np.newaxis] of an array, [value] of a list"
        elif array.ndim == len(wanted) - 1 and wanted[-1] in {-1, 1}:
            mend = "add the last axis: array[..., np.newaxis] of an array"
        raise target.refusal(ShapeMismatchError, told(array), mend)
    for axis in range(1 if batched else 0, array.ndim):
        if wanted[axis] not in {-1, array.shape[axis]}:
            mend = f"axis {axis} must be {wanted[axis]}, not {array.shape[axis]}"
            raise target.refusal(ShapeMismatchError, told(array), mend)


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(wanted_size in {-1, size} for size, wanted_size in zip(shape, wanted, strict=True))


def _check_batch(spec: ModelSpec, arrays: Mapping[str, Array], limit: float) -> None:
    sizes = {name: array.shape[0] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise ShapeMismatchError(
            f"{spec.name}: all inputs need one batch size, got {sizes}; pass as many rows in each", model=spec.name
        )
    for name, size in sizes.items():
        target = Target(spec, spec.inputs[name])
        if size == 0:
            mend = "an empty batch has no answer: pass at least one row"
            raise target.refusal(ShapeMismatchError, told(arrays[name]), mend)
        if size > limit:
            mend = f"pass at most {spec.max_batch_size} rows at a time, or split=True"
            raise target.refusal(ShapeMismatchError, f"a batch of {size}", mend)
