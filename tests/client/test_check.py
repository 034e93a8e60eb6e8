"""What a clumsy caller passes is refused before it is sent, with what was wanted, what came and the mend."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from maas_client import (
    DatatypeMismatchError,
    InputError,
    ModelSpec,
    NameMismatchError,
    RefusedValueError,
    ShapeMismatchError,
    TensorSpec,
)
from maas_client._check import check_inputs, check_outputs


def model(datatype: str = "FP32", shape: tuple[int, ...] = (-1, 1, 3), **options: Any) -> ModelSpec:
    return ModelSpec(
        "m",
        (1,),
        {"x": TensorSpec("x", datatype, shape), "mask": TensorSpec("mask", "BOOL", (-1, 2), optional=True)},
        {"y": TensorSpec("y", "FP32", (-1,))},
        **{"max_batch_size": 4, **options},
    )


GOOD = np.zeros((2, 1, 3), np.float32)
REFUSED: list[tuple[str, Any, type[InputError], str]] = [
    (
        "float64",
        GOOD.astype(float),
        DatatypeMismatchError,
        r"wants FP32 \[batch <= 4, 1, 3\], got float64 \[2, 1, 3\]; "
        r"pass array.astype\(np.float32\)",
    ),
    ("safe cast not asked for", GOOD.astype(np.uint8), DatatypeMismatchError, "cast=True"),
    ("text array", np.array([[["a"] * 3]]), DatatypeMismatchError, "text cannot be sent as numbers"),
    ("text", "abc", DatatypeMismatchError, "str 'abc'"),
    ("bytes", b"abc", DatatypeMismatchError, "pass numbers"),
    ("booleans", [[[True, False, True]]], DatatypeMismatchError, "booleans"),
    ("mixed list", [[[1, "a", 2]]], DatatypeMismatchError, "got text"),
    ("mixed objects", np.array([[[1, "a", 2]]], object), DatatypeMismatchError, "text"),
    ("object", [[[object()] * 3]], DatatypeMismatchError, "objects"),
    ("rank without batch", GOOD[0], ShapeMismatchError, "add the batch axis"),
    ("rank", np.zeros(3, np.float32), ShapeMismatchError, "its rank must be 3, not 1"),
    ("fixed dim", np.zeros((2, 1, 4), np.float32), ShapeMismatchError, "axis 2 must be 3, not 4"),
    ("too many rows", np.zeros((5, 1, 3), np.float32), ShapeMismatchError, "a batch of 5; pass at most 4 rows"),
    ("no rows", np.zeros((0, 1, 3), np.float32), ShapeMismatchError, "empty batch"),
    ("empty list", [], ShapeMismatchError, "rank must be 3, not 1"),
    ("ragged", [[[1, 2, 3], [1]]], ShapeMismatchError, "different lengths"),
    ("None", None, RefusedValueError, "got None"),
    ("None inside", [[[1, None, 2]]], RefusedValueError, "None at element 1"),
    ("None in an object array", np.array([[[1, 2, None]]], object), RefusedValueError, "None at element 2"),
    ("too large", [[[1e39, 0, 0]]], RefusedValueError, "too large"),
    ("huge integer", [[[10**30, 0, 0]]], RefusedValueError, "more than 64 bits"),
]


@pytest.mark.parametrize(("value", "kind", "text"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_wrong_input_is_refused(value: Any, kind: type[InputError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        check_inputs(model(), {"x": value})
    assert str(caught.value).startswith("m: input 'x' wants FP32 [batch <= 4, 1, 3], got ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_values_are_refused_where_the_model_says_so(bad: float) -> None:
    x = GOOD.copy()
    x[1, 0, 2] = bad
    assert check_inputs(model(), {"x": x})["x"] is x
    with pytest.raises(RefusedValueError, match=r"at \[1, 0, 2\]; this model refuses NaN"):
        check_inputs(model(reject_nonfinite=True), {"x": x})


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "wants the inputs 'x', 'mask', got none; pass 'x' too"),
        ({"X": GOOD}, "has no input 'X'; it takes 'x', 'mask'"),
        ({"x": GOOD, "maks": GOOD}, "did you mean 'mask'"),
        ({"mask": [[True, False]]}, "pass 'x' too"),
    ],
)
def test_wrong_names_are_told_with_the_right_ones(inputs: dict[str, Any], text: str) -> None:
    with pytest.raises(NameMismatchError, match=text):
        check_inputs(model(), inputs)


def test_all_inputs_have_one_batch_size() -> None:
    with pytest.raises(ShapeMismatchError, match=r"got \{'x': 2, 'mask': 1\}"):
        check_inputs(model(), {"x": GOOD, "mask": [[True, False]]})


@pytest.mark.parametrize(
    ("datatype", "value", "kind", "text"),
    [
        ("UINT8", [256], RefusedValueError, "got 256; UINT8 holds 0 to 255"),
        ("UINT8", [-1], RefusedValueError, "got -1"),
        ("INT64", [2**63], RefusedValueError, "INT64 holds"),
        ("INT32", [1.5], DatatypeMismatchError, "floats"),
        ("BOOL", [1], DatatypeMismatchError, "integers"),
        ("FP16", [70000.0], RefusedValueError, "FP16's range"),
        ("BYTES", [1], DatatypeMismatchError, "int at element 0; pass str or bytes"),
        ("BYTES", ["a", None], RefusedValueError, "None at element 1"),
        ("BYTES", ["a", 1], DatatypeMismatchError, "int at element 1"),
        ("BYTES", [["a"], "b"], ShapeMismatchError, "different lengths"),
        ("BYTES", np.zeros(2), DatatypeMismatchError, "float64"),
        ("BYTES", ["\ud800"], RefusedValueError, "UTF-8"),
    ],
)
def test_values_that_do_not_fit_the_datatype(datatype: str, value: Any, kind: type[InputError], text: str) -> None:
    with pytest.raises(kind, match=text):
        check_inputs(model(datatype, (-1,), max_batch_size=0), {"x": value})


@pytest.mark.parametrize(
    ("datatype", "value", "wanted"),
    [
        ("UINT64", [2**64 - 1], [2**64 - 1]),
        ("FP32", [1, 2.5], [1, 2.5]),
        ("FP32", np.array([1, 2.5], object), [1, 2.5]),
        ("INT8", (1, -128), [1, -128]),
        ("BOOL", [True, False], [True, False]),
        ("FP32", 7, [7]),
        ("BYTES", "text", [b"text"]),
        ("BYTES", np.array(["ü", "b"]), ["ü".encode(), b"b"]),
        ("BYTES", [bytearray(b"\0a\0")], [b"\0a\0"]),
        ("BF16", np.array([1.5], np.float32), [1.5]),
    ],
)
def test_plain_python_values_take_the_models_datatype(datatype: str, value: Any, wanted: list[Any]) -> None:
    array = check_inputs(model(datatype, (-1,), max_batch_size=0), {"x": value})["x"]
    assert array.tolist() == wanted


def test_safe_casts_happen_when_asked() -> None:
    x = np.ones((1, 1, 3), np.uint8)
    assert check_inputs(model(), {"x": x}, cast=True)["x"].dtype == np.float32
    with pytest.raises(DatatypeMismatchError, match="astype"):
        check_inputs(model(), {"x": x.astype(float)}, cast=True)


def test_an_optional_none_is_told_to_be_left_out() -> None:
    with pytest.raises(RefusedValueError, match="leave it out"):
        check_inputs(model(), {"x": GOOD, "mask": None})


def test_right_input_is_not_copied() -> None:
    assert check_inputs(model(), {"x": GOOD})["x"] is GOOD


@pytest.mark.parametrize(
    ("outputs", "text"),
    [(["z"], "has no output 'z'; it gives 'y'"), (["y", "y"], "twice"), ("y", r"pass \['y'\]")],
)
def test_wrong_outputs_are_refused(outputs: Any, text: str) -> None:
    with pytest.raises(NameMismatchError, match=text):
        check_outputs(model(), outputs)


@pytest.mark.parametrize("missing", ["name", "versions"])
def test_a_description_that_lacks_a_field_is_no_description(missing: str) -> None:
    from maas_client import BadAnswerError

    metadata = {"name": "m", "versions": ["1"], "inputs": [], "outputs": []}
    del metadata[missing]
    with pytest.raises(BadAnswerError, match=missing):
        ModelSpec.of(metadata, {})


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        model().max_batch_size = 8  # type: ignore[misc]  # what the test is about
