"""Every datatype that Triton and ONNX share goes in and comes out unchanged, over both protocols."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backend_models import NUMPY_OF, config, graph, identity, node, tensor, value, write_model

LIMITS = {
    name: np.array([[np.iinfo(NUMPY_OF[name]).min, 0, np.iinfo(NUMPY_OF[name]).max]], NUMPY_OF[name])
    for name in NUMPY_OF
    if "INT" in name
}
SAMPLES = {
    **LIMITS,
    "BOOL": np.array([[True, False, True]]),
    "FP16": np.array([[-65504, 0.5, np.nan]], np.float16),
    "BF16": np.array([[-3.0e38, 0.15625, np.inf]], NUMPY_OF["BF16"]),
    "FP32": np.array([[np.finfo(np.float32).min, 1e-45, np.nan]], np.float32),
    "FP64": np.array([[np.finfo(np.float64).max, -0.0, np.inf]], np.float64),
    "BYTES": np.array([[b"", "Grüße, 世界".encode(), b"a\x00b\n"]], np.object_),
}


def write(repository: Path) -> None:
    for name in SAMPLES:
        text = config(
            max_batch_size=4,
            inputs=[tensor("x", name, [3])],
            outputs=[tensor("y", name, [3])],
            more="dynamic_batching {}",
        )
        write_model(repository, f"identity_{name.lower()}", identity(name, ("batch", 3)), text)
    mixed = graph(
        [node("Cast", ["x"], ["y"], to=1), node("Identity", ["flag"], ["flag_out"])],
        [value("x", "BF16", ("batch", 2)), value("flag", "BOOL", ("batch", 1))],
        [value("y", "FP32", ("batch", 2)), value("flag_out", "BOOL", ("batch", 1))],
    )
    write_model(
        repository,
        "bf16_and_others",
        mixed,
        config(
            max_batch_size=4,
            inputs=[tensor("x", "BF16", [2]), tensor("flag", "BOOL", [1])],
            outputs=[tensor("y", "FP32", [2]), tensor("flag_out", "BOOL", [1])],
        ),
    )


@pytest.fixture(scope="module")
def served(serve: Callable[..., Any]) -> Any:
    return serve(write, "--disable-auto-complete-config")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("datatype", SAMPLES)
def test_a_tensor_comes_back_as_it_went_in(served: Any, datatype: str, protocol: str) -> None:
    sent = SAMPLES[datatype]
    got = served.infer(f"identity_{datatype.lower()}", {"x": sent}, protocol=protocol)["y"]
    assert got.dtype == sent.dtype
    assert got.shape == sent.shape
    np.testing.assert_array_equal(got, sent)


@pytest.mark.parametrize("datatype", ["BF16", "BYTES", "FP16"])
def test_rows_of_different_requests_do_not_mix(served: Any, datatype: str) -> None:
    row = SAMPLES[datatype]
    sent = [np.roll(row, shift, axis=1).repeat(count, axis=0) for shift, count in ((0, 1), (1, 2), (2, 1))]
    for array, got in zip(
        sent, served.infer_at_once(f"identity_{datatype.lower()}", [{"x": array} for array in sent]), strict=True
    ):
        np.testing.assert_array_equal(got["y"], array)


def test_bf16_goes_together_with_other_datatypes(served: Any) -> None:
    got = served.infer("bf16_and_others", {"x": np.array([[1.5, -2]], NUMPY_OF["BF16"]), "flag": np.array([[True]])})
    np.testing.assert_array_equal(got["y"], np.array([[1.5, -2]], np.float32))
    assert got["flag_out"].tolist() == [[True]]


def test_bytes_that_are_no_text_are_refused_and_their_batch_mates_are_not(served: Any) -> None:
    good, bad = np.array([[b"a", b"b", b"c"]], np.object_), np.array([[b"a", b"\xff\xfe", b"c"]], np.object_)
    answers = served.infer_at_once("identity_bytes", [{"x": good}, {"x": bad}, {"x": good}])
    assert "input 'x' is no UTF-8 text" in str(answers[1])
    assert answers[1].status() == "StatusCode.INVALID_ARGUMENT"
    for answer in (answers[0], answers[2]):
        np.testing.assert_array_equal(answer["y"], good)
