"""What Triton offers around a model works with this backend too: ragged batches, warm-up, cache, classes, pipelines."""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
from backend_models import (
    accumulator,
    config,
    graph,
    identity,
    lookup,
    node,
    sequence_batching,
    state,
    sum_and_difference,
    tensor,
    value,
    write_model,
)
from tritonclient.utils import InferenceServerException

GATHER_THREE = "dynamic_batching { preferred_batch_size: [3] max_queue_delay_microseconds: 20000000 }"
"""A batch of three requests runs at once, fewer wait for the others."""

CALLER = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x")
            inner = pb_utils.InferenceRequest(
                model_name="lookup", requested_output_names=["y"], inputs=[pb_utils.Tensor("x", x.as_numpy())]
            ).exec()
            if inner.has_error():
                responses.append(pb_utils.InferenceResponse(error=inner.error()))
            else:
                responses.append(pb_utils.InferenceResponse([pb_utils.get_output_tensor_by_name(inner, "y")]))
        return responses
"""


def ragged_graph() -> Any:
    """flat = 2 * x, count = how many elements each request has, ends = where each ends in the flat batch."""
    return graph(
        [
            node("Add", ["x", "x"], ["flat"]),
            node("Unsqueeze", ["count_in", "axis"], ["count"]),
            node("Unsqueeze", ["end_in", "axis"], ["end"]),
        ],
        [value("x", "FP32", ("all",)), value("count_in", "FP32", ("batch",)), value("end_in", "INT32", ("batch",))],
        [value("flat", "FP32", ("all",)), value("count", "FP32", ("batch", 1)), value("end", "INT32", ("batch", 1))],
        {"axis": np.array([1], np.int64)},
    )


def warm_up(*, batch_size: int, size: int) -> str:
    zeros = f"data_type: TYPE_FP32 dims: {size} zero_data: true"
    return f'model_warmup {{ name: "first" batch_size: {batch_size} inputs {{ key: "x" value {{ {zeros} }} }} }}'


def write(repository: Path) -> None:
    x, y = [tensor("x", "FP32", [3])], [tensor("y", "FP32", [3])]
    write_model(
        repository,
        "ragged",
        ragged_graph(),
        config(
            max_batch_size=3,
            inputs=[tensor("x", "FP32", [-1], "allow_ragged_batch: true")],
            outputs=[tensor("flat", "FP32", [-1]), tensor("count", "FP32", [1]), tensor("end", "INT32", [1])],
            more="""
                batch_input { kind: BATCH_ELEMENT_COUNT target_name: "count_in" data_type: TYPE_FP32 source_input: "x" }
                batch_input {
                    kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "end_in" data_type: TYPE_INT32 source_input: "x"
                }
                batch_output { kind: BATCH_SCATTER_WITH_INPUT_SHAPE target_name: "flat" source_input: "x" }
            """
            + GATHER_THREE,
        ),
    )
    warm = warm_up(batch_size=2, size=3)
    write_model(
        repository, "warmed", identity(axes=("batch", 3)), config(max_batch_size=4, inputs=x, outputs=y, more=warm)
    )
    write_model(
        repository,
        "warmed_sequence",
        accumulator(),
        config(
            max_batch_size=4,
            inputs=[tensor("x", "FP32", [1])],
            outputs=[tensor("y", "FP32", [1])],
            more=sequence_batching(state("sum", "FP32", [1])) + warm_up(batch_size=1, size=1),
        ),
    )
    cached = "response_cache { enable: true }"
    write_model(
        repository, "cached", identity(axes=("batch", 3)), config(max_batch_size=4, inputs=x, outputs=y, more=cached)
    )
    write_model(
        repository,
        "labelled",
        identity(axes=("batch", 3)),
        config(max_batch_size=4, inputs=x, outputs=[tensor("y", "FP32", [3], 'label_filename: "labels.txt"')]),
        files={"labels.txt": "cat\ndog\nowl\n"},
    )
    number = {"inputs": [tensor("x", "INT64", [1])], "outputs": [tensor("y", "FP32", [1])]}
    write_model(repository, "lookup", lookup(), config(max_batch_size=4, **number))
    write_model(
        repository,
        "caller",
        None,
        config(max_batch_size=4, **number).replace('"onnxruntime"', '"python"'),
        files={"1/model.py": CALLER},
    )
    pair = {"inputs": [tensor("a", "FP32", [-1]), tensor("b", "FP32", [-1])]}
    write_model(
        repository,
        "pair",
        sum_and_difference(),
        config(max_batch_size=4, outputs=[tensor("total", "FP32", [-1]), tensor("difference", "FP32", [-1])], **pair),
    )
    steps = """ensemble_scheduling {
        step {
            model_name: "lookup" model_version: -1
            input_map { key: "x" value: "index" } output_map { key: "y" value: "price" }
        }
        step {
            model_name: "pair" model_version: -1
            input_map { key: "a" value: "price" } input_map { key: "b" value: "price" }
            output_map { key: "total" value: "twice" }
        } }"""
    text = config(
        max_batch_size=4, inputs=[tensor("index", "INT64", [1])], outputs=[tensor("twice", "FP32", [1])], more=steps
    )
    text = text.replace('backend: "onnxruntime"', 'platform: "ensemble"').replace("instance_group { count: 1 }", "")
    write_model(repository, "doubled_price", None, text)
    write_model(
        repository,
        "decoupled",
        identity(axes=("batch", 3)),
        config(max_batch_size=4, inputs=x, outputs=y, more="model_transaction_policy { decoupled: true }"),
    )


@pytest.fixture(scope="module")
def served(serve: Callable[..., Any]) -> Any:
    return serve(write, "--cache-config=local,size=1048576", "--disable-auto-complete-config")


def test_all_models_load(served: Any) -> None:
    assert served.failed == {}


def test_ragged_requests_run_together(served: Any) -> None:
    sent = [np.arange(1, size + 1, dtype=np.float32).reshape(1, size) for size in (2, 5, 1)]
    answers = served.infer_at_once("ragged", [{"x": array} for array in sent])
    assert served.executions("ragged", rows=3) == (3, 1)
    for array, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer["flat"], 2 * array)
        assert answer["count"].tolist() == [[array.size]]
    # Each end is the sum of the sizes up to it, in the order in which the requests arrived.
    by_end = sorted((answer["end"].item(), answer["count"].item()) for answer in answers)
    assert [end for end, _ in by_end] == np.cumsum([count for _, count in by_end]).tolist()


def test_warm_up_has_run_before_the_first_request(served: Any) -> None:
    log = served.log()
    assert "failed to run warmup" not in log.lower()
    sample = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_array_equal(served.infer("warmed", {"x": sample})["y"], sample)
    one = np.array([[1]], np.float32)
    assert served.infer("warmed_sequence", {"x": one}, sequence_id=1, sequence_start=True)["y"].item() == 1


def test_a_repeated_request_is_answered_from_the_cache(served: Any) -> None:
    sample = np.array([[4, 5, 6]], np.float32)
    for _ in range(3):
        np.testing.assert_array_equal(served.infer("cached", {"x": sample})["y"], sample)
    hits_and_runs = {"execution_count": 1, "cache_hit": 2}

    def counted(statistics: dict[str, Any]) -> dict[str, int]:
        hits = statistics["inference_stats"]["cache_hit"].get("count", 0)
        return {"execution_count": statistics["execution_count"], "cache_hit": hits}

    assert counted(served.statistics("cached", lambda entry: counted(entry) == hits_and_runs)) == hits_and_runs


def test_classification(served: Any) -> None:
    tensor_in = grpc_client.InferInput("x", [1, 3], "FP32").set_data_from_numpy(np.array([[0.1, 0.7, 0.2]], np.float32))
    result = served.grpc.infer("labelled", [tensor_in], outputs=[grpc_client.InferRequestedOutput("y", class_count=2)])
    assert result.as_numpy("y").tolist() == [[b"0.700000:1:dog", b"0.200000:2:owl"]]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_ensemble(served: Any, protocol: str) -> None:
    got = served.infer("doubled_price", {"index": np.array([[3], [1]])}, protocol=protocol)
    assert got["twice"].tolist() == [[60], [20]]


def test_a_model_that_calls_a_model(served: Any) -> None:
    assert served.infer("caller", {"x": np.array([[2]])})["y"].tolist() == [[20]]
    with pytest.raises(InferenceServerException, match="out of data bounds"):
        served.infer("caller", {"x": np.array([[44]])})


def test_a_decoupled_model_answers_each_request_of_a_stream_once(served: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    served.grpc.start_stream(lambda result, error: answers.put(error or result.as_numpy("y").tolist()))
    for number in range(3):
        tensor_in = grpc_client.InferInput("x", [1, 3], "FP32").set_data_from_numpy(np.full((1, 3), number, np.float32))
        served.grpc.async_stream_infer("decoupled", [tensor_in])
    got = [answers.get(timeout=20) for _ in range(3)]
    served.grpc.stop_stream()
    assert got == [[[number] * 3] for number in range(3)]
    assert answers.empty()
