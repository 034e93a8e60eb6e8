"""Sequences: START and END by themselves, one server, one version, told when they are lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from maas_client import (
    AsyncClient,
    ConnectionLostError,
    DeadlineExceededError,
    InputError,
    InternalServerError,
    InvalidRequestError,
    MaasClientError,
    RefusedValueError,
    Retry,
    SequenceLostError,
    ShapeMismatchError,
    UnavailableError,
    UnreachableError,
)
from maas_client.testing import FakeTransport
from tests.client.scripted import Scripted
from tests.waiting import wait_until

Connect = Callable[..., Any]
UNREACHABLE = UnreachableError("no server reachable")


def total(answer: Any) -> float:
    return float(answer["total"].item())


def held(client: Any, model: str = "sums") -> int:
    """How many sequences the model holds besides the one that asks."""
    with client.sequence(model) as probe:
        return int(probe.infer(x=0.0)["open"].item()) - 1


@pytest.mark.parametrize("model", ["sums", "sums_by_short_id"])
def test_steps_of_a_sequence_add_up_and_it_is_ended(client: Any, model: str) -> None:
    before = held(client, model)
    with client.sequence(model) as sequence:
        assert [total(sequence.infer(x=float(number))) for number in (1, 2, 3)] == [1, 3, 6]
        assert sequence.id
    assert held(client, model) == before


def test_the_last_step_can_end_it(client: Any) -> None:
    before = held(client)
    with client.sequence("sums", sequence_id=77) as sequence:
        sequence.infer(x=1.0)
        answer = sequence.infer(x=2.0, last=True)
        assert total(answer) == 3
        assert answer["open"].item() == before
        with pytest.raises(RefusedValueError, match="77 is over"):
            sequence.infer(x=1.0)


@pytest.mark.parametrize("sequence_id", [0, -1, "", "x" * 129, True, 1.5, 2**63])
def test_an_id_that_triton_would_not_take_is_refused(client: Any, sequence_id: Any) -> None:
    with pytest.raises(InputError, match="sequence_id"):
        client.sequence("sums", sequence_id=sequence_id)


def test_a_model_that_knows_sequences_by_text_gets_one(scripted: Scripted, connect: Connect) -> None:
    scripted.sequence = True
    scripted.sequence_id_datatype = "TYPE_STRING"
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client, client.sequence("m") as sequence:
        sequence.infer(x=[[1, 1]])
        assert isinstance(sequence.id, str)
        assert sequence.id.encode() in scripted.asked[0]
    with connect(scripted.url) as client, client.sequence("m", sequence_id="user-7") as sequence:
        sequence.infer(x=[[1, 1]])
        assert b"user-7" in scripted.asked[-1]


def test_an_error_inside_the_block_ends_the_sequence_too(client: Any) -> None:
    before = held(client)

    def leave_with_an_error() -> None:
        with client.sequence("sums") as sequence:
            sequence.infer(x=1.0)
            raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="own"):
        leave_with_an_error()
    assert held(client) == before


def test_a_refused_step_leaves_the_sequence_as_it_is(client: Any) -> None:
    with client.sequence("sums") as sequence:
        sequence.infer(x=1.0)
        with pytest.raises(ShapeMismatchError):
            sequence.infer(x=[[1.0, 2.0]])
        with pytest.raises(InternalServerError, match="asked to fail"):
            sequence.infer(x=-1.0)
        assert total(sequence.infer(x=2.0)) == 3


def test_a_lost_sequence_is_said_so(client: Any) -> None:
    with client.sequence("sums_soon_dropped") as sequence:
        sequence.infer(x=1.0)
        told: list[str] = []

        def is_lost() -> bool:
            # A step that is answered since Triton is late to drop it begins its idle time anew.
            time.sleep(1.2)
            try:
                sequence.infer(x=1.0)
            except SequenceLostError as error:
                told.append(str(error))
            return bool(told)

        wait_until(is_lost, "the sequence is lost")
    assert "begin a new one" in told[0]


def test_a_step_that_may_have_been_applied_is_not_sent_twice(scripted: Scripted, connect: Connect) -> None:
    scripted.sequence = True
    scripted.replies = [scripted.good(), scripted.busy(), scripted.good()]
    with connect(scripted.url) as client, client.sequence("m") as sequence:
        sequence.infer(x=[[1, 1]])
        with pytest.raises(UnavailableError):
            sequence.infer(x=[[1, 1]])
    assert len(scripted.asked) == 3


@pytest.fixture
def fake() -> FakeTransport:
    fake = FakeTransport()
    tensor = ("FP32", [1])
    fake.model("m", inputs={"x": tensor}, outputs={"y": tensor}, config={"sequence_batching": {"control_input": []}})
    return fake


def steps(fake: FakeTransport) -> list[tuple[float, bool, bool]]:
    """The steps that were tried: x, START, END."""
    return [(call.inputs["x"].item(), call.sequence_start, call.sequence_end) for call in fake.calls]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_first_step_that_never_left_is_still_the_first(fake: FakeTransport, connect: Connect) -> None:
    fake.fail("m", UNREACHABLE)
    fake.answer("m", {"y": [1]})
    with connect("http://anywhere", transport=fake, retry=None) as client, client.sequence("m") as sequence:
        with pytest.raises(UnreachableError):
            sequence.infer(x=[1])
        sequence.infer(x=[2])
        sequence.infer(x=[3], last=True)
    assert steps(fake) == [(1, True, False), (2, True, False), (3, False, True)]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_sequence_of_which_nothing_left_is_not_ended(fake: FakeTransport, connect: Connect) -> None:
    fake.fail("m", UNREACHABLE)
    with connect("http://anywhere", transport=fake, retry=None) as client:
        with pytest.raises(UnreachableError), client.sequence("m") as sequence:
            sequence.infer(x=[1])
        assert steps(fake) == [(1, True, False)]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_later_step_that_never_left_is_not_repeated_to_end_the_sequence(
    fake: FakeTransport, connect: Connect
) -> None:
    fake.answer("m", {"y": [1]})
    fake.fail("m", UNREACHABLE)
    fake.answer("m", {"y": [1]})
    with connect("http://anywhere", transport=fake, retry=None) as client, client.sequence("m") as sequence:
        sequence.infer(x=[1])
        with pytest.raises(UnreachableError):
            sequence.infer(x=[2])
    assert steps(fake) == [(1, True, False), (2, False, False), (1, False, True)]


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize("error", [DeadlineExceededError("m did not answer"), ConnectionLostError("lost")])
def test_a_step_without_an_answer_may_have_been_applied_and_is_ended(
    fake: FakeTransport, connect: Connect, error: MaasClientError
) -> None:
    fake.fail("m", error)
    fake.answer("m", {"y": [1]})
    with connect("http://anywhere", transport=fake) as client:
        with pytest.raises(type(error)), client.sequence("m") as sequence:
            sequence.infer(x=[1])
        assert steps(fake) == [(1, True, False), (1, False, True)]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_refused_first_step_is_not_the_first_and_is_not_repeated(fake: FakeTransport, connect: Connect) -> None:
    fake.fail("m", InvalidRequestError("bad"))
    fake.answer("m", {"y": [1]})
    with connect("http://anywhere", transport=fake) as client, client.sequence("m") as sequence:
        with pytest.raises(InvalidRequestError):
            sequence.infer(x=[1])
        sequence.infer(x=[2])
    assert steps(fake) == [(1, True, False), (2, True, False), (2, False, True)]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_the_end_repeats_the_last_step_that_was_accepted(fake: FakeTransport, connect: Connect) -> None:
    fake.answer("m", {"y": [1]})
    fake.fail("m", InvalidRequestError("bad"))
    fake.answer("m", {"y": [1]})
    with connect("http://anywhere", transport=fake) as client, client.sequence("m") as sequence:
        sequence.infer(x=[1])
        with pytest.raises(InvalidRequestError):
            sequence.infer(x=[2])
    assert steps(fake) == [(1, True, False), (2, False, False), (1, False, True)]


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_refused_last_step_has_ended_the_sequence_or_is_ended_anew(fake: FakeTransport, connect: Connect) -> None:
    fake.answer("m", {"y": [1]})
    fake.fail("m", InvalidRequestError("bad"))
    fake.answer("m", {"y": [1]})
    with connect("http://anywhere", transport=fake) as client, client.sequence("m") as sequence:
        sequence.infer(x=[1])
        with pytest.raises(InvalidRequestError):
            sequence.infer(x=[2], last=True)
    assert steps(fake) == [(1, True, False), (2, False, True), (1, False, True)]
    assert not fake.open_sequences("m")


def test_a_first_step_that_never_left_may_go_to_another_server(scripted: Scripted, connect: Connect, way: str) -> None:
    scripted.sequence = True
    scripted.replies = [scripted.good()]
    dead = f"{way.removesuffix('-async')}://127.0.0.1:1"
    retry = Retry(attempts=2, base_s=0.01, max_s=0.01)
    with connect([dead, scripted.url], retry=retry) as client, client.sequence("m") as sequence:
        # The two calls that describe the model ask the dead server first and then the other: it is the dead one's turn.
        with pytest.raises(UnreachableError):
            sequence.infer(x=[[1, 1]])
        sequence.infer(x=[[1, 1]])
        sequence.infer(x=[[1, 1]])
    assert len(scripted.asked) == 3


def test_a_sequence_stays_with_the_version_that_began_it(scripted: Scripted, connect: Connect) -> None:
    scripted.sequence = True
    scripted.versions = ["1", "2"]
    scripted.replies = [scripted.good("2")]
    with connect(scripted.url) as client:
        with client.sequence("m") as sequence:
            sequence.infer(x=[[1, 1]])
            sequence.infer(x=[[1, 1]])
        assert [scripted.version_asked(number) for number in range(3)] == ["", "2", "2"]
    assert scripted.described == 1


def test_a_model_without_sequences_is_told(client: Any) -> None:
    with client.sequence("small") as sequence, pytest.raises(RefusedValueError, match="use infer"):
        sequence.infer(x=[[[1, 2, 3]]])


def test_nothing_is_sent_for_an_empty_block(scripted: Scripted, connect: Connect) -> None:
    with connect(scripted.url) as client, client.sequence("m"):
        pass
    assert scripted.described == 0


def test_interleaved_sequences_do_not_mix(client: Any) -> None:
    def run(number: int) -> list[float]:
        with client.sequence("sums") as sequence:
            return [total(sequence.infer(x=float(number))) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(16))) == [[number * step for step in range(1, 6)] for number in range(16)]


def test_a_cancelled_task_ends_its_sequence(urls: dict[str, str]) -> None:
    async def held_by(client: AsyncClient) -> int:
        async with client.sequence("sums") as probe:
            return int((await probe.infer(x=0.0))["open"].item())

    async def run() -> bool:
        async with AsyncClient(urls["grpc"]) as client:
            before = await held_by(client)
            begun = asyncio.Event()

            async def follow() -> None:
                async with client.sequence("sums") as sequence:
                    await sequence.infer(x=1.0)
                    begun.set()
                    await asyncio.sleep(60)

            task = asyncio.create_task(follow())
            await begun.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return await held_by(client) == before

    assert asyncio.run(run())
