"""A process that stood still over a request: Triton 2.51 alone gives what it answers later to the next caller."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from tests.server.serving import ask, stubs_of, write_model
from tests.waiting import STOOD_STILL_S, longest_standstill, wait_until

from maas_server.embedded import EmbeddedTriton, embedded_triton
from maas_server.stub_guard import Moment, StallGuard, Teller, Told, guard_model

_DOUBLED = """
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("y", x * FACTOR)])
            for x in (pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests)
        ]
"""
# One loop in C, which lets no other thread of this process run; some 2 s for 1.
_KEEPS_THE_GIL = f"""
    def execute(self, requests):
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            sum(range(int(float(x.flat[0]) * 100_000_000)))
{_DOUBLED}
"""
_KEEPS_THE_GIL_AND_BLOCKS = f"""
    def execute(self, requests):
        import ctypes
        ctypes.PyDLL(None).usleep(1_500_000)
{_DOUBLED}
"""
_ASYNCHRONOUS = f"""
    async def execute(self, requests):
        import asyncio
        await asyncio.sleep(0.01)
{_DOUBLED}
"""
_STATIC = f"""
    @staticmethod
    def execute(requests):
{_DOUBLED}
"""
_SAYS_THAT_IT_BEGAN = """
    _execute = execute

    def execute(self, requests):
        open({path!r}, "w").close()
        return self._execute(requests)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedTriton]:
    repository = tmp_path / "repository"
    write_model(repository, "double", more=_SAYS_THAT_IT_BEGAN.format(path=str(tmp_path / "begun")))
    write_model(repository, "busy", more=_KEEPS_THE_GIL)
    with embedded_triton(repository, log_path=tmp_path / "log", stop_timeout_s=1.0) as server:
        yield server


def stand_still(server: EmbeddedTriton, duration_s: float) -> float:
    """Stops the process of the model; gives for how long it did, in seconds."""
    (stub,) = stubs_of(server.pid, "double_0_0")
    stopped_at = time.monotonic()
    stub.send_signal(signal.SIGSTOP)
    time.sleep(duration_s)
    stub.send_signal(signal.SIGCONT)
    return time.monotonic() - stopped_at


def answers_of(server: EmbeddedTriton, x: tuple[float, float], tmp_path: Path) -> tuple[threading.Thread, list[object]]:
    """A call that the model has begun to work on, and the list that its answer, or error, will be in."""
    found: list[object] = []
    (tmp_path / "begun").unlink(missing_ok=True)

    def call() -> None:
        try:
            found.append(ask(server.http_url, "double", x))
        except RuntimeError as error:
            found.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    wait_until((tmp_path / "begun").exists, "the model has begun")
    return thread, found


@contextlib.contextmanager
def only_where_time_passes_evenly() -> Iterator[None]:
    """Skips the test if it failed while the whole machine stood still: then the guard was right to end a process."""
    with longest_standstill() as longest_s:
        try:
            yield
        except RuntimeError as error:
            if "is not healthy" in str(error) and longest_s[0] > STOOD_STILL_S:
                pytest.skip(f"this machine stood still for {longest_s[0]:.2f} s")
            raise


def test_nobody_gets_the_answer_of_a_call_that_was_given_up(server: EmbeddedTriton, tmp_path: Path) -> None:
    thread, first = answers_of(server, (5.0, 100.0), tmp_path)
    stand_still(server, 2.0)
    thread.join(30)
    assert "is not healthy" in str(first[0])
    with pytest.raises(RuntimeError, match="is not healthy"):
        ask(server.http_url, "double", (0.0, 1.0))
    assert ask(server.http_url, "busy", (0.0, 1.0)) == [0.0, 2.0]
    assert "stood still" in server.log_path.read_text()


def test_a_short_standstill_costs_nothing_but_time(server: EmbeddedTriton, tmp_path: Path) -> None:
    thread, first = answers_of(server, (1.0, 100.0), tmp_path)
    stopped_s = stand_still(server, 0.3)
    thread.join(30)
    if stopped_s > 0.6:
        pytest.skip(f"this machine was too busy to stop a process for less than {stopped_s:.2f} s")
    assert first == [pytest.approx([2.0, 200.0])]
    assert ask(server.http_url, "double", (0.0, 1.0)) == [0.0, 2.0]


def test_a_standstill_without_a_request_ends_nothing(server: EmbeddedTriton) -> None:
    stand_still(server, 1.5)
    time.sleep(4.0)
    assert ask(server.http_url, "double", (0.0, 1.0)) == [0.0, 2.0]


def test_a_model_that_waits_or_computes_for_long_is_left_alone(server: EmbeddedTriton) -> None:
    with only_where_time_passes_evenly():
        assert ask(server.http_url, "double", (2.0, 1.0)) == [4.0, 2.0]
        assert ask(server.http_url, "busy", (1.0, 1.0)) == [2.0, 2.0]


def test_every_kind_of_execute_is_taken(tmp_path: Path) -> None:
    write_model(tmp_path / "repository", "blocks", more=_KEEPS_THE_GIL_AND_BLOCKS)
    write_model(tmp_path / "repository", "asynchronous", more=_ASYNCHRONOUS)
    write_model(tmp_path / "repository", "static", more=_STATIC)
    with (
        embedded_triton(tmp_path / "repository", log_path=tmp_path / "log", stop_timeout_s=1.0) as server,
        only_where_time_passes_evenly(),
    ):
        for model in ("blocks", "asynchronous", "static"):
            assert ask(server.http_url, model, (0.5, 1.0)) == [1.0, 2.0], model
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.fixture
def crowd() -> Iterator[set[int]]:
    """Processes that compute on one processor until the tests are gone; gives that processor."""
    processor = {min(psutil.Process().cpu_affinity())}
    compute = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    # A session of its own is what the scheduler shares a processor among.
    others = [subprocess.Popen([sys.executable, "-c", compute], start_new_session=True) for _ in range(3)]
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
    with only_where_time_passes_evenly():
        assert ask(server.http_url, "busy", (0.5, 1.0)) == [1.0, 2.0]


class Clocks:
    def __init__(self) -> None:
        self.now = Moment(100.0, 1_000_000.0)
        self.told = Told(7, 0.5)

    def advance(self, steady: float = 0.0, beats: float = 0, waited: float = 0.0, system: float | None = None) -> None:
        self.now = Moment(self.now.steady + steady, self.now.system + (steady if system is None else system))
        self.told = Told(self.told.beats + beats, self.told.waited_s + waited)

    def guard(self, ended: list[float]) -> StallGuard:
        return StallGuard(ended.append, lambda: self.told, lambda: self.now)


HAPPENS: dict[str, tuple[Callable[[Clocks], None], bool]] = {
    "the machine stood still": (lambda clocks: clocks.advance(steady=2.0), True),
    "the process was stopped and went on": (lambda clocks: clocks.advance(steady=2.0, beats=3), True),
    "it got no processor": (lambda clocks: clocks.advance(steady=2.0, beats=1, waited=1.7), True),
    "it told all the time": (lambda clocks: clocks.advance(steady=2.0, beats=6), False),
    "it told a little late, often": (lambda clocks: clocks.advance(steady=16.0, beats=51, waited=0.7), False),
    "it got no processor once, in long": (lambda clocks: clocks.advance(steady=6.0, beats=16, waited=1.2), True),
    "shorter than Triton waits": (lambda clocks: clocks.advance(steady=0.9), False),
    "clock set forward": (lambda clocks: clocks.advance(system=3.0), True),
    "clock set back": (lambda clocks: clocks.advance(system=-3.0), False),
    "nothing": (lambda clocks: None, False),
}


@pytest.mark.parametrize(("happens", "ends"), HAPPENS.values(), ids=HAPPENS)
def test_what_counts_as_a_standstill_over_a_request(happens: Callable[[Clocks], None], ends: bool) -> None:
    clocks = Clocks()
    ended: list[float] = []
    clocks.guard(ended).around(lambda _model, _requests: happens(clocks))(None, [])
    assert bool(ended) is ends
    ended.clear()

    async def execute(_model: object, _requests: object) -> str:
        happens(clocks)
        return "answer"

    assert asyncio.run(clocks.guard(ended).around(execute)(None, [])) == "answer"
    assert bool(ended) is ends


@pytest.mark.parametrize("decoupled", [False, True])
def test_nobody_waits_for_the_coroutine_of_a_decoupled_model(decoupled: bool) -> None:
    clocks = Clocks()
    ended: list[float] = []

    class Model:
        def initialize(self, args: dict[str, str]) -> None:
            self.name = args["model_name"]

        async def execute(self, _requests: object) -> str:
            clocks.advance(steady=2.0)
            return self.name

    guard_model(Model, clocks.guard(ended))
    config = {"model_transaction_policy": {"decoupled": decoupled}}
    model = Model()
    model.initialize({"model_name": "m", "model_config": json.dumps(config)})
    assert asyncio.run(model.execute([])) == "m"
    assert bool(ended) is not decoupled


@pytest.mark.parametrize(
    ("beats_at_ms", "ends"),
    [
        (range(300, 6000, 300), False),
        (range(300, 6000, 360), False),
        (range(350, 6000, 450), False),
        ([*range(300, 2000, 300), *range(2500, 6000, 300)], False),
        ([*range(300, 2000, 300), *range(3200, 6000, 300)], True),
    ],
    ids=["in time", "a little late", "late", "one is missing", "four are missing"],
)
def test_beats_that_are_looked_at_again_and_again(beats_at_ms: Sequence[int], ends: bool) -> None:
    clocks = Clocks()
    ended: list[float] = []
    guard = clocks.guard(ended)

    def execute(_model: object, _requests: object) -> None:
        for now_ms in range(100, 6000, 100):
            clocks.advance(steady=0.1, beats=sum(now_ms - 100 < beat_ms <= now_ms for beat_ms in beats_at_ms))
            guard.look()

    guard.around(execute)(None, [])
    assert bool(ended) is ends


@pytest.mark.parametrize(("still_s", "later_s", "ends"), [(1.5, 0.01, True), (1.5, 1.2, False), (0.8, 0.01, False)])
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
    clocks.advance(steady=later_s, beats=later_s / 0.3)
    guard.around(lambda _model, _requests: None)(None, [])
    assert bool(ended) is ends


@pytest.mark.parametrize(
    ("schedstat", "told"),
    [("700 2500000000 9", Told(9, 2.5)), ("1e9", None), ("0 0 0", None)],
    ids=["Linux", "another kernel", "accounting is off"],
)
def test_the_thread_that_tells_is_the_first_that_was_started(tmp_path: Path, schedstat: str, told: Told | None) -> None:
    for thread, started, text in ((os.getpid(), 10, "7 7 7"), (9, 30, "8 8 8"), (90, 20, schedstat), (91, 20, "9 9 9")):
        (tmp_path / str(thread)).mkdir()
        (tmp_path / str(thread) / "schedstat").write_text(text)
        (tmp_path / str(thread) / "stat").write_text(f"{thread} (a ) name) S {'0 ' * 18}{started} 0 0")
    if told is None:
        with pytest.raises(ValueError, match=r"1e9|counts nothing"):
            Teller(tmp_path)
    else:
        assert Teller(tmp_path)() == told
