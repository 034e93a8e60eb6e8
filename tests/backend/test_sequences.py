"""Sequences: implicit state, controls, both strategies, both protocols; a reference run in one piece is the truth."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from backend_models import (
    accumulator,
    config,
    control,
    graph,
    lstm,
    node,
    sequence_batching,
    state,
    tensor,
    value,
    write_model,
)
from tests.waiting import wait_until
from tritonclient.utils import InferenceServerException

FEATURES, HIDDEN = 3, 8
IDLE_S = 3.0
"""After which a sequence of `short_lived` is dropped: longer than two steps take on a machine that stands still."""
STRATEGIES = {
    "direct": "direct { max_queue_delay_microseconds: 2000 }",
    "oldest": "oldest { max_candidate_sequences: 32 max_queue_delay_microseconds: 2000 }",
}


@pytest.fixture(scope="module")
def reference() -> torch.nn.LSTM:
    torch.manual_seed(7)
    return torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True).eval()


CONTROLS = {"START": "FP32", "END": "INT32", "READY": "BOOL"}


def echo(controls: dict[str, str]) -> Any:
    """The controls, echoed; x rides along."""
    axes = ("batch", 1)
    names = {**controls, "x": "FP32"}
    nodes = [node("Identity", [name], [f"{name}_out"]) for name in names]
    return graph(
        nodes,
        [value(name, datatype, axes) for name, datatype in names.items()],
        [value(f"{name}_out", datatype, axes) for name, datatype in names.items()],
    )


def write(repository: Path, reference: torch.nn.LSTM) -> None:
    x = [tensor("x", "FP32", [1])]
    y = [tensor("y", "FP32", [1])]
    for name, strategy in STRATEGIES.items():
        text = config(
            max_batch_size=8,
            inputs=[tensor("x", "FP32", [FEATURES])],
            outputs=[tensor("y", "FP32", [HIDDEN])],
            more=sequence_batching(state("c", "FP32", [HIDDEN]), state("h", "FP32", [HIDDEN]), strategy=strategy)
            + "\ninstance_group { count: 2 }",
        )
        write_model(repository, f"lstm_{name}", lstm(reference), text)
    # Triton 24.10 hands over a string CORRID padded to 128 characters, which neither C++ nor Python backends can read.
    for name, controls in (("controls", CONTROLS), ("controls_and_id", {**CONTROLS, "CORRID": "UINT64"})):
        text = config(
            max_batch_size=4,
            inputs=x,
            outputs=[tensor(f"{key}_out", datatype, [1]) for key, datatype in {**controls, "x": "FP32"}.items()],
            more=sequence_batching(*(control(key, key, datatype) for key, datatype in controls.items())),
        )
        write_model(repository, name, echo(controls), text)
    first = state("sum", "FP32", [1], 'data_file: "hundred"')
    write_model(
        repository,
        "from_file",
        accumulator(),
        config(max_batch_size=4, inputs=x, outputs=y, more=sequence_batching(first)),
        files={"initial_state/hundred": np.array([100], np.float32).tobytes()},
    )
    write_model(
        repository,
        "unbatched",
        accumulator_without_batch(),
        config(
            inputs=x, outputs=[*y, tensor("sum_out", "FP32", [1])], more=sequence_batching(state("sum", "FP32", [1]))
        ),
    )
    write_model(
        repository,
        "short_lived",
        accumulator(),
        config(max_batch_size=4, inputs=x, outputs=y, more=sequence_batching(state("sum", "FP32", [1]), idle_s=IDLE_S)),
    )
    write_model(
        repository,
        "rows_in_run",
        rows_in_run(),
        config(max_batch_size=4, inputs=x, outputs=y, more=sequence_batching(strategy="direct {}")),
    )
    write_model(repository, "fallible", fallible_accumulator(), fallible_config())
    write_model(
        repository,
        "texts",
        text_counter(),
        config(
            max_batch_size=4,
            inputs=[tensor("x", "BYTES", [1])],
            outputs=[tensor("x_out", "BYTES", [1]), *y],
            more=sequence_batching(state("sum", "FP32", [1])),
        ),
    )


def rows_in_run() -> Any:
    """y = how many rows the run has, in every row."""
    axes = ("batch", 1)
    nodes = [
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["rows"]),
        node("Cast", ["rows"], ["number"], to=onnx.TensorProto.FLOAT),
        node("Expand", ["number", "shape"], ["y"]),
    ]
    return graph(nodes, [value("x", "FP32", axes)], [value("y", "FP32", axes)], {"first": np.array([0], np.int64)})


def accumulator_without_batch() -> Any:
    return graph(
        [node("Add", ["sum_in", "x"], ["sum_out"]), node("Identity", ["sum_out"], ["y"])],
        [value("x", "FP32", (1,)), value("sum_in", "FP32", (1,))],
        [value("y", "FP32", (1,)), value("sum_out", "FP32", (1,))],
    )


def fallible_accumulator() -> Any:
    """sum_out = sum_in + table[x]; an index out of range fails the step."""
    axes = ("batch", 1)
    return graph(
        [
            node("Gather", ["table", "x"], ["step"]),
            node("Add", ["sum_in", "step"], ["sum_out"]),
            node("Identity", ["sum_out"], ["y"]),
        ],
        [value("x", "INT64", axes), value("sum_in", "FP32", axes)],
        [value("y", "FP32", axes), value("sum_out", "FP32", axes)],
        {"table": np.array([1, 10, 100], np.float32)},
    )


def text_counter() -> Any:
    """sum_out = sum_in + 1; text that is no UTF-8 fails the step before it is run."""
    axes = ("batch", 1)
    return graph(
        [
            node("Identity", ["x"], ["x_out"]),
            node("Add", ["sum_in", "one"], ["sum_out"]),
            node("Identity", ["sum_out"], ["y"]),
        ],
        [value("x", "BYTES", axes), value("sum_in", "FP32", axes)],
        [value("x_out", "BYTES", axes), value("y", "FP32", axes), value("sum_out", "FP32", axes)],
        {"one": np.array([1], np.float32)},
    )


def fallible_config() -> str:
    # Sequences that are not ended keep their places until they have been idle for long.
    strategy = "oldest { max_candidate_sequences: 32 max_queue_delay_microseconds: 200000 }"
    batching = sequence_batching(state("sum", "FP32", [1]), strategy=strategy)
    return config(
        max_batch_size=4, inputs=[tensor("x", "INT64", [1])], outputs=[tensor("y", "FP32", [1])], more=batching
    )


@pytest.fixture(scope="module")
def served(serve: Callable[..., Any], reference: torch.nn.LSTM) -> Any:
    return serve(lambda repository: write(repository, reference), "--disable-auto-complete-config")


def step(
    served: Any, model: str, corrid: int | str, x: Any, *, start: bool = False, end: bool = False, **options: Any
) -> Any:
    array = x if isinstance(x, np.ndarray) else np.array([[x]], np.float32)
    return served.infer(model, {"x": array}, sequence_id=corrid, sequence_start=start, sequence_end=end, **options)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_interleaved_sequences_answer_as_one_long_run(served: Any, reference: torch.nn.LSTM, strategy: str) -> None:
    rng = np.random.default_rng(1)
    ids: list[int | str] = [*range(1, 9), *(f"visitor-{number}" for number in range(8))]
    lengths = dict(zip(ids, rng.integers(1, 12, len(ids)).tolist(), strict=True))
    inputs = {corrid: rng.standard_normal((1, lengths[corrid], FEATURES)).astype(np.float32) for corrid in ids}

    def run(corrid: int | str) -> np.ndarray[Any, Any]:
        choose = random.Random(str(corrid))
        length = lengths[corrid]
        answers = []
        for index in range(length):
            time.sleep(choose.uniform(0, 0.004))
            answers.append(
                step(
                    served,
                    f"lstm_{strategy}",
                    corrid,
                    inputs[corrid][:, index],
                    start=index == 0,
                    end=index == length - 1,
                    protocol=choose.choice(["http", "grpc"]),
                )["y"]
            )
        return np.concatenate(answers)

    with ThreadPoolExecutor(len(ids)) as pool:
        got = dict(zip(ids, pool.map(run, ids), strict=True))
    for corrid in ids:
        with torch.no_grad():
            wanted = reference(torch.from_numpy(inputs[corrid]))[0][0].numpy()
        np.testing.assert_allclose(got[corrid], wanted, atol=1e-6, err_msg=str(corrid))
    rows, runs = served.executions(f"lstm_{strategy}", rows=sum(lengths.values()))
    assert rows == sum(lengths.values())
    assert runs < rows, "steps of different sequences never ran together"


@pytest.mark.parametrize(("model", "corrid"), [("controls", 41), ("controls_and_id", 42), ("controls", "order-66")])
def test_controls_reach_the_graph(served: Any, model: str, corrid: int | str) -> None:
    seen = [step(served, model, corrid, index, start=index == 0, end=index == 2) for index in range(3)]
    assert [answer["START_out"].item() for answer in seen] == [1, 0, 0]
    assert [answer["END_out"].item() for answer in seen] == [0, 0, 1]
    assert all(answer["READY_out"].item() for answer in seen)
    assert [answer["x_out"].item() for answer in seen] == [0, 1, 2]
    assert all(answer["CORRID_out"].item() == corrid for answer in seen if "CORRID_out" in answer)


def test_empty_slots_are_not_run(served: Any) -> None:
    for corrid in (1, 2, 3):
        step(served, "rows_in_run", corrid, 0, start=True)
    # The third sequence's slot lies behind two that have nothing to do.
    assert step(served, "rows_in_run", 3, 0)["y"].item() == 1


def test_initial_state_comes_from_the_file(served: Any) -> None:
    assert step(served, "from_file", 5, 1, start=True)["y"].item() == 101
    assert step(served, "from_file", 5, 2, end=True)["y"].item() == 103


def test_state_without_batching_and_shown_to_the_caller(served: Any) -> None:
    first = step(served, "unbatched", 9, np.array([2], np.float32), start=True)
    second = step(served, "unbatched", 9, np.array([3], np.float32), end=True, outputs=["sum_out"])
    assert first["y"].tolist() == first["sum_out"].tolist() == [2]
    assert {name: array.tolist() for name, array in second.items()} == {"sum_out": [5]}


def test_start_forgets_what_was_before(served: Any) -> None:
    step(served, "from_file", 6, 1, start=True)
    assert step(served, "from_file", 6, 1, start=True)["y"].item() == 101


def test_end_forgets_the_sequence(served: Any) -> None:
    step(served, "from_file", 7, 1, start=True, end=True)
    with pytest.raises(InferenceServerException, match="7"):
        step(served, "from_file", 7, 1)


def test_an_idle_sequence_is_an_error_and_not_zeros(served: Any) -> None:
    step(served, "short_lived", 8, 1, start=True)
    assert step(served, "short_lived", 8, 1)["y"].item() == 2
    told: list[str] = []

    def is_lost() -> bool:
        # A step that is answered since Triton is late to drop the sequence begins its idle time anew.
        time.sleep(IDLE_S + 1)
        try:
            assert step(served, "short_lived", 8, 1)["y"].item() > 2
        except InferenceServerException as error:
            told.append(str(error))
        return bool(told)

    wait_until(is_lost, "the sequence is lost")
    assert "8" in told[0]


def test_a_failed_first_step_leaves_no_state_behind(served: Any) -> None:
    with pytest.raises(InferenceServerException, match="out of data bounds"):
        step(served, "fallible", "lost", np.array([[99]]), start=True)
    with pytest.raises(InferenceServerException, match="state of sequence 'lost' is gone"):
        step(served, "fallible", "lost", np.array([[1]]))


@pytest.mark.parametrize(
    ("model", "good", "bad", "why"),
    [
        ("fallible", np.array([[1]]), np.array([[99]]), "out of data bounds"),
        ("texts", np.array([[b"a"]], np.object_), np.array([[b"\xff"]], np.object_), "UTF-8"),
    ],
)
def test_a_failed_start_does_not_let_the_sequence_before_it_go_on(
    served: Any, model: str, good: Any, bad: Any, why: str
) -> None:
    first = step(served, model, "again", good, start=True)["y"]
    with pytest.raises(InferenceServerException, match=why):
        step(served, model, "again", bad, start=True)
    with pytest.raises(InferenceServerException, match="state of sequence 'again' is gone") as caught:
        step(served, model, "again", good)
    assert caught.value.status() == "StatusCode.UNAVAILABLE"
    assert step(served, model, "again", good, start=True)["y"] == first


def test_a_failed_step_keeps_the_state_before_it_and_spares_other_sequences(served: Any) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: step(served, "fallible", name, np.array([[0]]), start=True), "abc"))

        def second(name: str) -> Any:
            try:
                return step(served, "fallible", name, np.array([[99 if name == "b" else 1]]))["y"].item()
            except InferenceServerException as error:
                return str(error)

        answers = list(pool.map(second, "abc"))
    assert answers[0] == answers[2] == 11
    assert "out of data bounds" in answers[1]
    assert step(served, "fallible", "b", np.array([[2]]), end=True)["y"].item() == 101
