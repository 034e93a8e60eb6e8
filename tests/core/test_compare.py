from __future__ import annotations

import numpy as np
import pytest

from maas_core.compare import compare, worst
from maas_core.golden import Array
from maas_core.spec import Tolerance

FP32 = {"FP32": Tolerance(absolute=1e-4, relative=1e-3)}
WANTED = np.array([[1.0, 100.0]], dtype=np.float32)


def one(got: Array, wanted: Array = WANTED) -> tuple[bool, str]:
    (result,) = compare({"out": wanted}, {"out": got}, FP32)
    return result.passed, result.detail


def test_absolute_and_relative_tolerance_add_up() -> None:
    assert one(np.array([[1.001, 100.1]], dtype=np.float32))[0]
    passed, detail = one(np.array([[1.01, 100.1]], dtype=np.float32))
    assert not passed
    assert "1 of 2 elements" in detail


@pytest.mark.parametrize(
    ("got", "reason"),
    [
        (WANTED.astype(np.float64), "has datatype float64, wanted float32"),
        (WANTED[0], "has shape [2], wanted [1, 2]"),
        (np.array([[1.0, np.nan]], dtype=np.float32), "the answer holds NaN or infinity in 1 of 2"),
    ],
)
def test_what_differs_is_said(got: Array, reason: str) -> None:
    passed, detail = one(got)
    assert not passed
    assert reason in detail


def test_nan_never_passes_not_even_where_it_was_expected() -> None:
    nan = np.array([np.nan], dtype=np.float32)
    assert not one(nan, wanted=nan)[0]


def test_missing_and_unexpected_outputs_are_both_told() -> None:
    results = compare({"a": WANTED}, {"b": WANTED}, FP32)
    assert [(result.output, result.passed) for result in results] == [("a", False), ("b", False)]


def test_integers_and_text_must_be_equal() -> None:
    numbers, texts = np.array([1, 2]), np.array([b"a", b"b"], dtype=np.object_)
    assert compare({"n": numbers, "t": texts}, {"n": numbers, "t": texts}, {})[0].passed
    results = compare({"n": numbers, "t": texts}, {"n": numbers + 1, "t": texts[::-1]}, FP32)
    assert [result.passed for result in results] == [False, False]


def test_the_worst_of_two_results_fails_where_either_fails() -> None:
    good, bad = (
        compare({"out": WANTED}, {"out": WANTED}, FP32)[0],
        compare({"out": WANTED}, {"out": WANTED * 2}, FP32)[0],
    )
    assert not worst(good, bad).passed
    assert worst(bad, good).detail == bad.detail
    assert worst(good, bad).max_absolute == pytest.approx(100.0)
