"""A process that stood still over a request: Triton 2.51 alone gives what it answers later to the next caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.server.serving import ask, stubs_of, write_model

from maas_server.embedded import EmbeddedTriton, embedded_triton
from maas_server.stub_guard import Activity, Moment, StallGuard

_KEEPS_THE_GIL = """
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            # One loop in C, which lets no other thread of this process run; some 2 s for 1.
            sum(range(int(float(x.flat[0]) * 100_000_000)))
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x * FACTOR)]))
        return responses
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedTriton]:
    repository = tmp_path / "repository"
    write_model(repository, "double")
    write_model(repository, "busy", more=_KEEPS_THE_GIL)
    with embedded_triton(repository, log_path=tmp_path / "log", stop_timeout_s=1.0) as server:
        yield server


def stand_still(server: EmbeddedTriton, duration_s: float) -> None:
    (stub,) = stubs_of(server.pid, "double_0_0")
    stub.send_signal(signal.SIGSTOP)
    time.sleep(duration_s)
    stub.send_signal(signal.SIGCONT)


def answers_of(server: EmbeddedTriton, x: tuple[float, float]) -> tuple[threading.Thread, list[object]]:
    """A call under way, and the list that its answer, or error, will be in."""
    found: list[object] = []

    def call() -> None:
        try:
            found.append(ask(server.http_url, "double", x))
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, found


def test_nobody_gets_the_answer_of_a_call_that_was_given_up(server: EmbeddedTriton) -> None:
    thread, first = answers_of(server, (0.4, 100.0))
    time.sleep(0.2)
    stand_still(server, 2.0)
    thread.join(30)
    assert "is not healthy" in str(first[0])
    with pytest.raises(RuntimeError, match="is not healthy"):
        ask(server.http_url, "double", (0.0, 1.0))
    assert ask(server.http_url, "busy", (0.0, 1.0)) == [0.0, 2.0]
    assert "stood still" in server.log_path.read_text()


def test_a_short_standstill_costs_nothing_but_time(server: EmbeddedTriton) -> None:
    thread, first = answers_of(server, (0.4, 100.0))
    time.sleep(0.2)
    stand_still(server, 0.4)
    thread.join(30)
    assert first == [pytest.approx([0.8, 200.0])]
    assert ask(server.http_url, "double", (0.0, 1.0)) == [0.0, 2.0]


def test_a_standstill_without_a_request_ends_nothing(server: EmbeddedTriton) -> None:
    stand_still(server, 1.5)
    time.sleep(0.5)
    assert ask(server.http_url, "double", (0.0, 1.0)) == [0.0, 2.0]


def test_a_model_that_waits_or_computes_for_long_is_left_alone(server: EmbeddedTriton) -> None:
    assert ask(server.http_url, "double", (2.0, 1.0)) == [4.0, 2.0]
    assert ask(server.http_url, "busy", (1.0, 1.0)) == [2.0, 2.0]


@pytest.fixture
def crowd() -> Iterator[set[int]]:
    """Processes that compute on one processor without end; gives that processor."""
    processor = {min(psutil.Process().cpu_affinity())}
    # A session of its own is what the scheduler shares a processor among.
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True) for _ in range(3)]
    try:
        for other in others:
            psutil.Process(other.pid).cpu_affinity(processor)
        yield processor
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_model_that_computes_in_a_crowd_is_left_alone(server: EmbeddedTriton, crowd: set[int]) -> None:
    (stub,) = stubs_of(server.pid, "busy_0_0")
    for thread in stub.threads():
        os.sched_setaffinity(thread.id, crowd)
    began, computed_s = time.monotonic(), sum(stub.cpu_times()[:2])
    assert ask(server.http_url, "busy", (0.5, 1.0)) == [1.0, 2.0]
    waited_s = time.monotonic() - began - (sum(stub.cpu_times()[:2]) - computed_s)
    assert waited_s > 0.7, "nobody was in its way: this shows nothing"


class Clocks:
    def __init__(self) -> None:
        self.now = Moment(100.0, 1_000_000.0)
        self.active_s = 5.0

    def advance(self, steady: float = 0.0, active: float = 0.0, system: float | None = None) -> None:
        self.now = Moment(self.now.steady + steady, self.now.system + (steady if system is None else system))
        self.active_s += active

    def guard(self, ended: list[float]) -> StallGuard:
        return StallGuard(ended.append, lambda: self.now, lambda: self.active_s)


@pytest.mark.parametrize(
    ("happens", "ends"),
    [
        (lambda clocks: clocks.advance(steady=2.0), True),
        (lambda clocks: clocks.advance(steady=2.0, active=1.9), False),
        (lambda clocks: clocks.advance(steady=0.9), False),
        (lambda clocks: clocks.advance(system=3.0), True),
        (lambda clocks: clocks.advance(system=-3.0), False),
        (lambda clocks: None, False),
    ],
    ids=["still", "computing", "shorter than Triton waits", "clock set forward", "clock set back", "nothing"],
)
def test_what_counts_as_a_standstill_over_a_request(happens: Callable[[Clocks], None], ends: bool) -> None:
    clocks = Clocks()
    ended: list[float] = []
    guard = clocks.guard(ended)
    guard.around(lambda _model, _requests: happens(clocks))(None, [])
    assert bool(ended) is ends


@pytest.mark.parametrize(("still_s", "later_s", "ends"), [(1.5, 0.01, True), (1.5, 1.0, False), (0.8, 0.01, False)])
def test_a_request_that_waited_through_a_standstill_is_not_answered(
    still_s: float,
    later_s: float,
    ends: bool,
) -> None:
    clocks = Clocks()
    ended: list[float] = []
    guard = clocks.guard(ended)
    clocks.advance(steady=still_s)
    guard.look()
    clocks.advance(steady=later_s, active=later_s)
    guard.around(lambda _model, _requests: None)(None, [])
    assert bool(ended) is ends


@pytest.mark.parametrize(
    ("model", "teller", "active_s"),
    [
        ("2000000000 0 9", "1000000 0 9", 2.0),
        ("1e9", "0 0 0", None),
        ("2000000000 3000000000 9", "0 4000000000 1", 1.0),
    ],
    ids=["computing", "another kernel", "both wait"],
)
def test_the_time_that_a_process_went_on(tmp_path: Path, model: str, teller: str, active_s: float | None) -> None:
    for thread, text in ((os.getpid(), model), (os.getpid() + 1, teller), (os.getpid() + 2, "7 7 7")):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "schedstat").write_text(text)
    if active_s is None:
        with pytest.raises(ValueError, match="1e9"):
            Activity(tmp_path)
    else:
        assert Activity(tmp_path)() == pytest.approx(active_s)
