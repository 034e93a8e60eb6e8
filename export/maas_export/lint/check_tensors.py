"""Inputs and outputs as the configuration lists them.

Source: ``ValidateModelIOConfig`` of Triton's ``model_config_utils.cc``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

from maas_export.lint.inspection import Inspection, each_tensor, enum_name
from maas_export.lint.scan import names_of

_WILDCARD = -1
_IMAGE_FORMATS = ("FORMAT_NHWC", "FORMAT_NCHW")


def check_tensors(inspection: Inspection) -> None:
    """Every input and output by itself, then their names among each other."""
    for side, index, entry in each_tensor(inspection.config):
        _check_complete(inspection, side, index, entry)
        _check_dims(inspection, side, index, entry)
        _check_reshape(inspection, side, index, entry)
        _check_format(inspection, side, index, entry)
    for side in ("input", "output"):
        names = names_of(getattr(inspection.config, side))
        for name in [name for name, count in Counter(names).items() if count > 1 and name]:
            second = [index for index, other in enumerate(names) if other == name][1]
            inspection.report("tensor-duplicate", f"{side} '{name}' is listed twice", (side, second, "name"))
    for index, output in enumerate(inspection.config.output):
        if output.label_filename:
            _check_labels(inspection, index, output)
    _check_batch_io(inspection)


def _check_complete(inspection: Inspection, side: str, index: int, entry: Any) -> None:
    missing = [] if entry.name else ["name"]
    missing += ["data_type"] if enum_name(entry, "data_type") == "TYPE_INVALID" else []
    missing += [] if entry.dims else ["dims"]
    if missing:
        wanted = " and ".join(f"'{name}'" for name in missing)
        inspection.report("tensor-incomplete", f"model {side} '{entry.name}' must specify {wanted}", (side, index))


def _check_dims(inspection: Inspection, side: str, index: int, entry: Any) -> None:
    for position, dim in enumerate(entry.dims):
        if dim < 1 and dim != _WILDCARD:
            what = f"model {side} '{entry.name}' dimension must be integer >= 1, or -1; it is {dim}"
            inspection.report("tensor-dims", what, (side, index, "dims", position))


def _check_reshape(inspection: Inspection, side: str, index: int, entry: Any) -> None:
    if not entry.HasField("reshape"):
        return
    shape, at = list(entry.reshape.shape), (side, index, "reshape")
    who = f"model {side} '{entry.name}'"
    if any(dim < 1 and dim != _WILDCARD for dim in shape):
        inspection.report("tensor-reshape", f"{who} reshape dimensions must be integer >= 1, or -1", at)
    elif not shape and not inspection.config.max_batch_size:
        inspection.report("tensor-reshape", f"{who} cannot have empty reshape for non-batching model", at)
    elif not _same_size(list(entry.dims), shape):
        inspection.report("tensor-reshape", f"{who} has different size for dims and reshape", at)


def _same_size(dims: Sequence[int], shape: Sequence[int]) -> bool:
    """Between the wildcards, and without any, the products are equal; an empty shape is one element."""
    return _products(dims) == _products(shape)


def _products(dims: Sequence[int]) -> list[int]:
    cuts = [-1, *(position for position, dim in enumerate(dims) if dim == _WILDCARD), len(dims)]
    return [prod(dims[first + 1 : last]) for first, last in pairwise(cuts)]


def _check_format(inspection: Inspection, side: str, index: int, entry: Any) -> None:
    is_tensorrt = inspection.model.backend == "tensorrt"
    if side == "input" and enum_name(entry, "format") in _IMAGE_FORMATS and len(entry.dims) != 3:
        inspection.report("tensor-format", "model input NHWC/NCHW require 3 dims", (side, index, "format"))
    if entry.is_shape_tensor and not is_tensorrt:
        what = "shape tensors are only supported for TensorRT platform"
        inspection.report("tensor-format", what, (side, index, "is_shape_tensor"))
    if entry.is_non_linear_format_io and (not is_tensorrt or len(entry.dims) != 3):
        what = "Non-linear IO format is only supported for the TensorRT platform, with 3 dims"
        inspection.report("tensor-format", what, (side, index, "is_non_linear_format_io"))


def _check_labels(inspection: Inspection, index: int, output: Any) -> None:
    at = ("output", index, "label_filename")
    path = inspection.model.folder / output.label_filename
    try:
        labels = path.read_bytes().removesuffix(b"\n").split(b"\n")
    except OSError as error:
        what = f"the label file of output '{output.name}' cannot be read: {error.strerror} '{path}'"
        inspection.report("label-file-missing", what, at)
        return
    dims = list(output.reshape.shape if output.HasField("reshape") else output.dims)
    elements = prod(dims) if dims and _WILDCARD not in dims else dims[-1] if dims else _WILDCARD
    if elements > 0 and len(labels) != elements:
        what = f"{output.label_filename} has {len(labels)} labels, output '{output.name}' has {elements} elements"
        inspection.report("label-count", what, at)


def _check_batch_io(inspection: Inspection) -> None:
    inputs, outputs = set(names_of(inspection.config.input)), set(names_of(inspection.config.output))
    for field in ("batch_input", "batch_output"):
        for index, entry in enumerate(getattr(inspection.config, field)):
            problems = [f"unknown source input name '{name}'" for name in entry.source_input if name not in inputs]
            if len(entry.source_input) != 1:
                problems.append(f"expects 1 source input, got {len(entry.source_input)}")
            if field == "batch_input" and enum_name(entry, "data_type") not in ("TYPE_INT32", "TYPE_FP32"):
                problems.append("batch input data type must be TYPE_INT32 or TYPE_FP32")
            if field == "batch_output":
                targets = list(entry.target_name)
                problems += [f"unknown target output name '{name}'" for name in targets if name not in outputs]
                problems += ["a target output name can only be specified once"] * (len(set(targets)) < len(targets))
            for problem in problems:
                inspection.report("batch-io", f"{field}: {problem}", (field, index))
