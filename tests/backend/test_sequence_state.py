"""What is kept of a sequence, and for how long: with a clock of the test's own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from ort_config import parse_config
from ort_errors import RequestError
from ort_state import Sequences, Sweeper

START, END = 1, 2
IDLE_S = 10.0


@dataclass
class Named:
    label: str

    def name(self) -> str:
        return self.label


@dataclass
class Request:
    """The part of Triton's request that matters here."""

    sequence: int | str
    marks: int = 0
    names: tuple[str, ...] = ("x", "sum_in")

    def correlation_id(self) -> int | str:
        return self.sequence

    def flags(self) -> int:
        return self.marks

    def inputs(self) -> list[Named]:
        return [Named(name) for name in self.names]


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Model:
    """Sequences of a running sum, stepped by hand."""

    idle_s: float = IDLE_S
    initial_state: bool = True
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        state: dict[str, Any] = {
            "input_name": "sum_in",
            "output_name": "sum_out",
            "data_type": "TYPE_FP32",
            "dims": ["2", "-1"],
        }
        if self.initial_state:
            state["initial_state"] = [{"name": "zero"}]
        config = {
            "name": "model",
            "max_batch_size": 4,
            "sequence_batching": {"max_sequence_idle_microseconds": str(int(self.idle_s * 1e6)), "state": [state]},
        }
        self.sequences = Sequences(parse_config(config), self.clock)

    def step(self, sequence: int | str, marks: int = 0, *, handed_over: float = 0.0) -> float:
        """Adds 1 to the sum and returns what it was before."""
        request: Any = Request(sequence, marks)
        feeds = {"sum_in": np.full((1, 2, 1), handed_over, np.float32)}
        self.sequences.expire()
        self.sequences.enter(request, feeds)
        self.sequences.leave(request, {"sum_out": feeds["sum_in"] + 1})
        return float(feeds["sum_in"].max())

    def failed_step(self, sequence: int | str, marks: int = 0) -> None:
        """A step whose run fails."""
        request: Any = Request(sequence, marks)
        self.sequences.enter(request, {"sum_in": np.zeros((1, 2, 1), np.float32)})
        self.sequences.fail(request)


def test_the_first_step_gets_what_triton_hands_over_and_the_next_what_the_graph_returned() -> None:
    model = Model()
    assert [model.step(1, START, handed_over=7), model.step(1), model.step(1, END)] == [7, 8, 9]
    assert len(model.sequences) == 0


def test_without_an_initial_value_the_first_step_gets_zeros() -> None:
    assert Model(initial_state=False).step("a", START, handed_over=1e30) == 0


def test_start_on_a_running_sequence_starts_it_again() -> None:
    model = Model()
    model.step(1, START)
    assert model.step(1, START, handed_over=3) == 3


def test_a_step_without_state_is_an_error() -> None:
    with pytest.raises(RequestError, match="the state of sequence 'a' is gone"):
        Model().step("a")


def test_a_failed_start_ends_the_sequence_that_had_the_id_before() -> None:
    model = Model()
    model.step("a", START, handed_over=7)
    model.step("b", START)
    model.failed_step("a", START)
    with pytest.raises(RequestError, match="the state of sequence 'a' is gone"):
        model.step("a")
    assert model.step("b") == 1
    assert model.step("a", START, handed_over=3) == 3


def test_a_failed_last_step_leaves_nothing() -> None:
    model = Model()
    model.step(1, START)
    model.failed_step(1, END)
    assert len(model.sequences) == 0


def test_a_failed_step_in_between_changes_nothing() -> None:
    model = Model()
    model.step(1, START)
    model.failed_step(1)
    assert model.step(1) == 1


def test_idle_sequences_are_dropped_and_used_ones_are_not() -> None:
    model = Model()
    model.step("old", START)
    model.step("used", START)
    # Two steps may be one idle time-out apart, plus as long in Triton's queue.
    model.clock.now_s += 1.9 * IDLE_S
    model.step("used")
    model.clock.now_s += 0.2 * IDLE_S
    assert model.step("used") == 2
    assert len(model.sequences) == 1
    with pytest.raises(RequestError, match="'old' is gone"):
        model.step("old")


def test_idle_sequences_are_dropped_while_no_request_comes() -> None:
    model = Model(idle_s=0.05)
    model.step(1, START)
    model.clock.now_s += 1
    sweeper = Sweeper(model.sequences)
    deadline_s = time.monotonic() + 20
    while len(model.sequences) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    sweeper.stop()
    assert len(model.sequences) == 0


def test_an_idle_time_of_zero_keeps_sequences_for_ever() -> None:
    model = Model(idle_s=0)
    model.step(1, START)
    model.clock.now_s += 1e9
    assert model.step(1) == 1


def test_an_empty_slot_is_told_from_a_warm_up() -> None:
    model = Model()
    empty: Any = Request(0)
    text: Any = Request("")
    warm_up: Any = Request(0, names=("x",))
    running: Any = Request(5)
    assert model.sequences.is_empty_slot(empty)
    assert model.sequences.is_empty_slot(text)
    assert not model.sequences.is_empty_slot(warm_up)
    assert not model.sequences.is_empty_slot(running)


def test_a_warm_up_runs_on_zeros_and_leaves_nothing() -> None:
    model = Model()
    feeds: dict[str, Any] = {}
    request: Any = Request(0, names=("x",))
    model.sequences.enter(request, feeds)
    np.testing.assert_array_equal(feeds["sum_in"], np.zeros((1, 2, 1), np.float32))
    model.sequences.leave(request, {"sum_out": feeds["sum_in"]})
    assert len(model.sequences) == 0
