"""Holding one answer against another: names, datatypes, shapes, then values. A check that cannot fail is a defect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maas_core.dtypes import FLOATS, TRITON_OF_NUMPY
from maas_core.golden import Array, Tensors
from maas_core.manifest import OutputResult
from maas_core.spec import Tolerance

EXACT = Tolerance(0.0, 0.0)


def compare(wanted: Tensors, got: Tensors, tolerances: Mapping[str, Tolerance]) -> list[OutputResult]:
    """Compares every output; all failures are collected, none hides another.

    Tolerances go by Triton datatype; a datatype that has none must be equal.

    NaN and infinity never pass, not even where both sides have them.
    """
    results = [_compare_output(name, wanted[name], got.get(name), tolerances) for name in wanted]
    results += [_failed(name, "is an output that the reference does not have") for name in got if name not in wanted]
    return results


def worst(one: OutputResult, other: OutputResult) -> OutputResult:
    """The two results of one output as one: it passed where both did, with the larger differences."""
    failed = next((result for result in (one, other) if not result.passed), one)
    return OutputResult(
        output=one.output,
        passed=one.passed and other.passed,
        max_absolute=max(one.max_absolute, other.max_absolute),
        max_relative=max(one.max_relative, other.max_relative),
        detail=failed.detail,
    )


def _failed(name: str, detail: str) -> OutputResult:
    return OutputResult(output=name, passed=False, max_absolute=0.0, max_relative=0.0, detail=detail)


def _compare_output(name: str, wanted: Array, got: Array | None, tolerances: Mapping[str, Tolerance]) -> OutputResult:
    if got is None:
        return _failed(name, "is missing")
    if wanted.dtype != got.dtype:
        return _failed(name, f"has datatype {got.dtype}, wanted {wanted.dtype}")
    if wanted.shape != got.shape:
        return _failed(name, f"has shape {list(got.shape)}, wanted {list(wanted.shape)}")
    datatype = TRITON_OF_NUMPY[wanted.dtype]
    if datatype not in FLOATS:
        return _compare_exactly(name, wanted, got)
    return _compare_floats(name, wanted, got, tolerances.get(datatype, EXACT))


def _compare_exactly(name: str, wanted: Array, got: Array) -> OutputResult:
    different = int(np.sum(np.asarray(wanted != got)))
    detail = f"differs in {different} of {wanted.size} elements" if different else ""
    return OutputResult(output=name, passed=not different, max_absolute=0.0, max_relative=0.0, detail=detail)


def _compare_floats(name: str, wanted: Array, got: Array, tolerance: Tolerance) -> OutputResult:
    reference = np.asarray(wanted, dtype=np.float64)
    answer = np.asarray(got, dtype=np.float64)
    for side, values in (("the answer", answer), ("the reference", reference)):
        bad = int(np.sum(~np.isfinite(values)))
        if bad:
            return _failed(name, f"{side} holds NaN or infinity in {bad} of {values.size} elements")
    difference: Any = np.abs(answer - reference)
    allowed = tolerance.absolute + tolerance.relative * np.abs(reference)
    outside = int(np.sum(difference > allowed))
    relative = difference / np.maximum(np.abs(reference), max(tolerance.absolute, 1e-12))
    return OutputResult(
        output=name,
        passed=outside == 0,
        max_absolute=float(difference.max(initial=0.0)),
        max_relative=float(relative.max(initial=0.0)),
        detail=f"{outside} of {difference.size} elements are outside the tolerance" if outside else "",
    )
