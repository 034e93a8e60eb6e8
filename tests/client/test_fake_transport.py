"""The library's fake server, as the tests of a program that uses the library would use it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maas_client import (
    DeadlineExceededError,
    InvalidRequestError,
    NotFoundError,
    RefusedValueError,
    Retry,
    SequenceLostError,
    ShapeMismatchError,
    UnavailableError,
)
from maas_client.testing import FakeCall, FakeTransport
from tests.client.ways import open_client


@pytest.fixture
def fake() -> FakeTransport:
    fake = FakeTransport()
    fake.model(
        "m", inputs={"x": ("FP32", [-1, 2])}, outputs={"y": ("FP32", [-1, 2])}, max_batch_size=4, versions=[1, 3]
    )
    fake.model("texts", inputs={"x": ("BYTES", [-1, 1])}, outputs={"y": ("BYTES", [-1, 1])}, max_batch_size=4)
    return fake


@pytest.fixture(params=["http", "http-async"])
def client(request: pytest.FixtureRequest, fake: FakeTransport) -> Any:
    with open_client(request.param, "http://anywhere", transport=fake, retry=Retry(base_s=0.001)) as client:
        yield client


def test_the_script_is_played_and_its_last_line_stays(client: Any, fake: FakeTransport) -> None:
    fake.answer("m", {"y": [[1, 1]]}, times=2)
    fake.answer("m", {"y": [[2, 2]]})
    answers = [client.infer("m", x=[[0, 0]]) for _ in range(4)]
    assert [answer["y"].tolist() for answer in answers] == [[[1, 1]], [[1, 1]], [[2, 2]], [[2, 2]]]
    assert answers[0]["y"].dtype == np.float32
    assert answers[0].model_version == 3


def test_an_answer_may_be_made_from_the_call(client: Any, fake: FakeTransport) -> None:
    def double(call: FakeCall) -> dict[str, Any]:
        return {"y": call.inputs["x"] * 2}

    fake.answer("m", double)
    x = np.arange(18, dtype=np.float32).reshape(9, 2)
    np.testing.assert_array_equal(client.infer("m", x=x, split=True)["y"], x * 2)
    assert sorted(len(call.inputs["x"]) for call in fake.calls) == [1, 4, 4]


def test_texts(client: Any, fake: FakeTransport) -> None:
    fake.answer("texts", lambda call: {"y": call.inputs["x"]})
    assert client.infer("texts", x="ü").text("y").tolist() == [["ü"]]
    fake.answer("texts", {"y": [["a"]]})


def test_failures_and_delays(client: Any, fake: FakeTransport) -> None:
    fake.fail("m", UnavailableError("queue full"))
    fake.answer("m", {"y": [[1, 1]]})
    fake.answer("m", {"y": [[1, 1]]}, delay_s=5)
    fake.fail("m", InvalidRequestError("no"), delay_s=0.01)
    assert client.infer("m", x=[[0, 0]]).timing.attempts == 2
    with pytest.raises(DeadlineExceededError, match=r"within 0\.05 s"):
        client.infer("m", x=[[0, 0]], timeout_s=0.05)
    with pytest.raises(InvalidRequestError, match="no"):
        client.infer("m", x=[[0, 0]])


def test_the_client_checks_as_ever_and_the_calls_are_seen(client: Any, fake: FakeTransport) -> None:
    fake.answer("m", {"y": [[1, 1]]})
    with pytest.raises(ShapeMismatchError):
        client.infer("m", x=[[0, 0, 0]])
    assert fake.calls == []
    client.infer("m", x=[[7, 8]], request_id="r", parameters={"k": "v"}, model_version=1, outputs=["y"])
    (call,) = fake.calls
    assert (call.model, call.version, call.request_id, call.outputs) == ("m", "1", "r", ("y",))
    assert call.parameters == {"k": "v"}
    assert call.inputs["x"].tolist() == [[7, 8]]


def test_health_and_what_is_not_there(client: Any, fake: FakeTransport) -> None:
    assert client.is_live()
    assert client.is_ready()
    assert client.model_ready("m")
    assert not client.model_ready("nosuch")
    fake.ready = False
    assert not client.is_ready()
    with pytest.raises(NotFoundError, match="nosuch"):
        client.infer("nosuch", x=1)
    with pytest.raises(RefusedValueError, match="no answer"):
        client.infer("m", x=[[0, 0]])
    with pytest.raises(RefusedValueError, match="add it with model"):
        fake.answer("nosuch", {})


@pytest.fixture
def adder(fake: FakeTransport) -> FakeTransport:
    fake.model(
        "adder", inputs={"x": ("FP32", [-1, 1])}, outputs={"y": ("FP32", [-1, 1])}, max_batch_size=4, sequence=True
    )
    fake.answer("adder", {"y": [[1]]})
    return fake


def test_a_sequence_is_opened_kept_and_ended(client: Any, adder: FakeTransport) -> None:
    with client.sequence("adder") as sequence:
        sequence.infer(x=[[1]])
        assert adder.open_sequences("adder") == {sequence.id}
        sequence.infer(x=[[2]])
    assert adder.open_sequences("adder") == frozenset()
    assert [(call.sequence_start, call.sequence_end) for call in adder.calls] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert {call.sequence_id for call in adder.calls} == {sequence.id}
    assert adder.calls[0].parameters == {}


def test_a_lost_sequence_is_told_as_by_triton(client: Any, adder: FakeTransport) -> None:
    with client.sequence("adder") as sequence:
        sequence.infer(x=[[1]])
        adder.lose_sequences("adder")
        with pytest.raises(SequenceLostError, match="begin a new one"):
            sequence.infer(x=[[2]])


def test_a_call_outside_a_sequence_is_refused_by_a_model_that_keeps_a_state(client: Any, adder: FakeTransport) -> None:
    with pytest.raises(InvalidRequestError, match="correlation ID"):
        client.infer("adder", x=[[1]])


def test_best_classes(client: Any, fake: FakeTransport) -> None:
    fake.answer("m", {"y": [[0.25, 0.75]]})
    ((best,),) = client.infer("m", x=[[0, 0]], class_count=1).classes("y")
    assert (best.score, best.index, best.label) == (0.75, 1, "")
    assert fake.calls[0].class_count == 1


def test_shared_memory_falls_back_to_the_network(client: Any, fake: FakeTransport, caplog: Any) -> None:
    fake.answer("m", {"y": [[1, 2]]})
    assert client.infer("m", x=[[0, 0]], via="system_shared_memory")["y"].tolist() == [[1, 2]]
    assert "the fake has no shared memory" in caplog.text


def test_an_unknown_model_of_the_script_is_told(fake: FakeTransport) -> None:
    with pytest.raises(RefusedValueError, match="the fake has no model 'z'"):
        fake.open_sequences("z")


def test_the_digest_of_a_pinned_version_is_told(client: Any, fake: FakeTransport) -> None:
    assert_digest(client, fake, [3], "ab12")
    assert_digest(client, fake, [2], "")  # another version's


def assert_digest(client: Any, fake: FakeTransport, pinned: list[int], digest: str) -> None:
    name = f"pinned_{pinned[0]}"
    fake.model(
        name,
        inputs={"x": ("FP32", [1])},
        outputs={"y": ("FP32", [1])},
        versions=[3],
        config={
            "version_policy": {"specific": {"versions": pinned}},
            "parameters": {"maas_digest": {"string_value": "ab12"}},
        },
    )
    fake.answer(name, {"y": [0]})
    assert client.infer(name, x=[1]).digest == digest


def test_what_was_asked_stays_as_it_was(client: Any, fake: FakeTransport) -> None:
    fake.answer("m", {"y": [[1, 1]]})
    x = np.ones((1, 2), np.float32)
    client.infer("m", x=x)
    x[:] = 7
    assert fake.calls[0].inputs["x"].tolist() == [[1, 1]]


def test_the_highest_version_answers_and_another_is_not_found(client: Any, fake: FakeTransport) -> None:
    fake.model("n", inputs={"x": ("FP32", [1])}, outputs={"y": ("FP32", [1])}, versions=[3, 1])
    fake.answer("n", {"y": [1]})
    assert client.infer("n", x=[1]).model_version == 3
    with pytest.raises(NotFoundError, match="version 2 is not found"):
        client.infer("n", x=[1], model_version=2)
    assert not client.model_ready("n", model_version=2)
