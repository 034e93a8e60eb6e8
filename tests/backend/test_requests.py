"""How requests are batched, what they get back, and what happens to one that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backend_models import (
    config,
    graph,
    identity,
    lookup,
    node,
    sum_and_difference,
    tensor,
    value,
    write_model,
)
from tritonclient.utils import InferenceServerException

GATHER_FOR = "dynamic_batching { max_queue_delay_microseconds: 300000 }"
"""Long enough for all requests of :func:`infer_at_once` to arrive, nearly always."""


def gather(rows: int) -> str:
    """For a model whose runs are counted: a batch of so many rows runs at once, fewer rows wait for the others."""
    return f"dynamic_batching {{ preferred_batch_size: [{rows}] max_queue_delay_microseconds: 20000000 }}"


def write(repository: Path) -> None:
    pair = {"inputs": [tensor("a", "FP32", [-1]), tensor("b", "FP32", [-1])]}
    both = [tensor("total", "FP32", [-1]), tensor("difference", "FP32", [-1])]
    for name, rows, gathering in (("pair", 8, GATHER_FOR), ("counted_pair", 7, gather(7))):
        text = config(max_batch_size=rows, outputs=both, more=gathering, **pair)
        write_model(repository, name, sum_and_difference(), text)
    write_model(repository, "pair_alone", sum_and_difference(("n",)), config(outputs=both, **pair))
    # The configuration shows only one of the graph's outputs.
    write_model(repository, "half_shown", sum_and_difference(), config(max_batch_size=8, outputs=both[1:], **pair))
    write_model(
        repository,
        "counted_lookup",
        lookup(),
        config(
            max_batch_size=4, inputs=[tensor("x", "INT64", [1])], outputs=[tensor("y", "FP32", [1])], more=gather(4)
        ),
    )
    write_model(
        repository,
        "any_size",
        identity(axes=("batch", "h", "w")),
        config(
            max_batch_size=8,
            inputs=[tensor("x", "FP32", [-1, -1])],
            outputs=[tensor("y", "FP32", [-1, -1])],
            more=GATHER_FOR,
        ),
    )
    write_model(
        repository,
        "reshaped",
        identity(axes=("batch", 2, 3)),
        config(
            max_batch_size=8,
            inputs=[tensor("x", "FP32", [6], "reshape { shape: [2, 3] }")],
            outputs=[tensor("y", "FP32", [3, 2], "reshape { shape: [2, 3] }")],
        ),
    )
    write_model(
        repository,
        "scalar",
        identity(axes=()),
        config(inputs=[tensor("x", "FP32", [1])], outputs=[tensor("y", "FP32", [1])]),
    )
    write_model(
        repository,
        "one_number_each",
        identity(axes=("batch",)),
        config(
            max_batch_size=8,
            inputs=[tensor("x", "FP32", [1], "reshape { shape: [] }")],
            outputs=[tensor("y", "FP32", [1], "reshape { shape: [] }")],
            more=GATHER_FOR,
        ),
    )
    write_model(
        repository,
        "wrong_batch",
        graph(
            [node("Unique", ["x"], ["y"], axis=0)],
            [value("x", "FP32", ("batch", 1))],
            [value("y", "FP32", ("some", 1))],
        ),
        config(
            max_batch_size=8, inputs=[tensor("x", "FP32", [1])], outputs=[tensor("y", "FP32", [1])], more=GATHER_FOR
        ),
    )
    default = graph(
        [node("Add", ["x", "offset"], ["y"])],
        [value("x", "FP32", (2,)), value("offset", "FP32", (2,))],
        [value("y", "FP32", (2,))],
        {"offset": np.array([10, 20], np.float32)},
    )
    write_model(
        repository,
        "optional",
        default,
        config(
            inputs=[tensor("x", "FP32", [2]), tensor("offset", "FP32", [2], "optional: true")],
            outputs=[tensor("y", "FP32", [2])],
        ),
    )


@pytest.fixture(scope="module")
def served(serve: Callable[..., Any]) -> Any:
    return serve(write, "--disable-auto-complete-config")


def row(*numbers: float, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.array([numbers], dtype)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_two_inputs_two_outputs(served: Any, protocol: str) -> None:
    got = served.infer("pair", {"b": row(1, 2), "a": row(10, 20)}, protocol=protocol)
    assert got["total"].tolist() == [[11, 22]]
    assert got["difference"].tolist() == [[9, 18]]


def test_requests_run_together_and_get_their_own_rows_and_outputs(served: Any) -> None:
    counts = [1, 2, 1, 3]
    sent = [
        {"a": np.full((count, 2), 10 * count, np.float32), "b": np.ones((count, 2), np.float32)} for count in counts
    ]
    for inputs, got in zip(sent, served.infer_at_once("counted_pair", sent), strict=True):
        np.testing.assert_array_equal(got["total"], inputs["a"] + 1)
        np.testing.assert_array_equal(got["difference"], inputs["a"] - 1)
    assert served.executions("counted_pair", rows=sum(counts)) == (sum(counts), 1)


def test_only_the_requested_outputs_come_back(served: Any) -> None:
    inputs = {"a": row(3), "b": row(1)}
    assert set(served.infer("pair", inputs, outputs=["difference"])) == {"difference"}
    assert set(served.infer("half_shown", inputs)) == {"difference"}


def test_without_batching_shapes_are_the_graphs_own(served: Any) -> None:
    got = served.infer("pair_alone", {"a": np.array([1, 2, 3], np.float32), "b": np.array([1, 1, 1], np.float32)})
    assert got["total"].tolist() == [2, 3, 4]


def test_a_failing_request_does_not_fail_its_batch_mates(served: Any) -> None:
    indices = [1, 99, 3, 2]
    answers = served.infer_at_once("counted_lookup", [{"x": row(index, dtype=np.int64)} for index in indices])
    assert [answers[place]["y"].item() for place in (0, 2, 3)] == [10, 30, 20]
    assert answers[1].status() == "StatusCode.INVALID_ARGUMENT"
    assert "out of data bounds" in answers[1].message()
    # A row that failed is not counted.
    assert served.executions("counted_lookup", rows=3)[1] == 1, "the requests did not share a batch"
    with pytest.raises(InferenceServerException) as caught:
        # So many rows that they wait for no others.
        served.infer("counted_lookup", {"x": np.full((4, 1), 99)}, protocol="http")
    assert caught.value.status() == "400"


def test_sizes_may_differ_between_requests(served: Any) -> None:
    sent = [np.arange(h * w, dtype=np.float32).reshape(1, h, w) for h, w in ((1, 1), (2, 3), (1, 1), (5, 2))]
    for array, got in zip(sent, served.infer_at_once("any_size", [{"x": array} for array in sent]), strict=True):
        np.testing.assert_array_equal(got["y"], array)


def test_empty_tensors_are_answered(served: Any) -> None:
    got = served.infer("any_size", {"x": np.zeros((1, 0, 3), np.float32)})
    assert got["y"].shape == (1, 0, 3)


def test_reshape(served: Any) -> None:
    got = served.infer("reshaped", {"x": np.arange(12, dtype=np.float32).reshape(2, 6)})
    np.testing.assert_array_equal(got["y"], np.arange(12, dtype=np.float32).reshape(2, 3, 2))


def test_scalars(served: Any) -> None:
    assert served.infer("scalar", {"x": np.array([7], np.float32)})["y"].tolist() == [7]
    answers = served.infer_at_once("one_number_each", [{"x": row(number)} for number in range(3)])
    assert [answer["y"].tolist() for answer in answers] == [[[0]], [[1]], [[2]]]


def test_an_output_that_loses_the_batch_axis_is_an_error(served: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"output 'y' has shape \[1, 1\] for a batch of 2"):
        served.infer("wrong_batch", {"x": np.ones((2, 1), np.float32)})
    answers = served.infer_at_once("wrong_batch", [{"x": row(4)}, {"x": row(4)}])
    assert [answer["y"].item() for answer in answers] == [4, 4]


def test_an_optional_input_takes_the_graphs_default(served: Any) -> None:
    x = np.array([1, 2], np.float32)
    assert served.infer("optional", {"x": x})["y"].tolist() == [11, 22]
    assert served.infer("optional", {"x": x, "offset": x})["y"].tolist() == [2, 4]
