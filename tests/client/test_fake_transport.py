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
