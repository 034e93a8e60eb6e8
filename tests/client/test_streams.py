"""Decoupled models: answers as they come, over both protocols; who leaves the loop cancels on the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from maas_client import (
    AsyncClient,
    BadAnswerError,
    ConnectionLostError,
    DeadlineExceededError,
    InputError,
    InternalServerError,
    NotFoundError,
    UnreachableError,
)
from maas_client.testing import FakeTransport
from tests.client.scripted import Scripted, http
from tests.client.ways import open_client

Connect = Callable[..., Any]


def test_answers_come_in_order_with_shape_and_type(client: Any) -> None:
    answers = list(client.stream("counter", n=5))
    assert [answer["i"].tolist() for answer in answers] == [[0], [1], [2], [3], [4]]
    assert [answer.text("text").tolist() for answer in answers[:2]] == [["tökén 0"], ["tökén 1"]]
    assert {answer["i"].dtype for answer in answers} == {np.dtype(np.int32)}
    assert {(answer.model_name, answer.model_version) for answer in answers} == {("counter", 1)}


def test_a_stream_may_be_empty(client: Any) -> None:
    assert list(client.stream("counter", n=0)) == []


def test_only_the_named_outputs_come(client: Any) -> None:
    assert [list(answer) for answer in client.stream("counter", n=1, outputs=["i"])] == [["i"]]


def test_a_model_that_gives_one_answer_can_be_streamed_too(client: Any) -> None:
    (answer,) = client.stream("texts", x="ü")
    assert answer.text("y").tolist() == [["ü"]]


def test_an_error_after_some_answers_is_raised_there(client: Any) -> None:
    answers = client.stream("counter", n=-2)
    assert [next(answers)["i"].item() for _ in range(2)] == [0, 1]
    with pytest.raises(InternalServerError, match="asked to fail"):
        next(answers)


def test_leaving_the_loop_cancels_on_the_server(client: Any) -> None:
    def cancelled() -> int:
        return int(next(iter(client.stream("counter", n=1)))["cancelled"].item())

    before = cancelled()
    for answer in client.stream("counter", n=-1):
        if answer["i"].item() == 2:
            break
    give_up = time.monotonic() + 20
    while cancelled() == before and time.monotonic() < give_up:
        time.sleep(0.05)
    assert cancelled() == before + 1


def test_one_deadline_holds_for_all_of_the_stream(client: Any) -> None:
    client.describe("counter")
    with pytest.raises(DeadlineExceededError, match=r"within 0\.3 s"):
        list(client.stream("counter", n=-1, timeout_s=0.3))


def test_wrong_calls_are_told_as_ever(client: Any) -> None:
    with pytest.raises(InputError, match="no input 'm'"):
        list(client.stream("counter", m=1))
    with pytest.raises(NotFoundError, match="nosuch"):
        list(client.stream("nosuch", n=1))


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize(
    ("model", "inputs", "text"),
    [
        ("small", {"x": [[[1, 2, 3]], [[1, 2, 3]]]}, "one row"),
        ("anything", {"xFP32_2": [[1.0, 2.0]]}, "at most one axis"),
        ("anything", {"xFP32_1": [float("nan")]}, "no NaN"),
        ("texts", {"x": b"\xff"}, "not UTF-8"),
    ],
)
def test_what_json_cannot_hold_is_refused(client: Any, model: str, inputs: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=f"{text}.*grpc://"):
        list(client.stream(model, inputs))


EVENT = b'data: {"model_name":"m","model_version":"1","y":[1,1]}\n\n'


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_events_may_be_cut_anywhere(scripted: Scripted, connect: Connect) -> None:
    two = EVENT + b": a comment\n\n" + EVENT.replace(b"\n", b"\r\n")
    scripted.replies = [chunked(*(two[start : start + 7] for start in range(0, len(two), 7)))]
    with connect(scripted.url) as client:
        assert [answer["y"].tolist() for answer in client.stream("m", x=[[1, 1]])] == [[[1, 1]]] * 2


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (chunked(EVENT, end=b""), ConnectionLostError),
        (chunked(EVENT, b"data: nonsense\n\n"), BadAnswerError),
        (chunked(EVENT, b"data: [1]\n\n"), BadAnswerError),
        (chunked(EVENT, b'data: {"error": "broke"}\n\n'), InternalServerError),
        (chunked(EVENT, end=b"zz\r\n"), BadAnswerError),
    ],
)
def test_a_broken_stream_gives_what_came_and_then_its_error(
    scripted: Scripted, connect: Connect, reply: bytes, kind: type[Exception]
) -> None:
    scripted.replies = [reply]
    with connect(scripted.url) as client:
        answers = client.stream("m", x=[[1, 1]])
        assert next(answers)["y"].tolist() == [[1, 1]]
        with pytest.raises(kind):
            next(answers)


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize(
    ("reply", "kind"), [(http(b'{"error":"no"}', 500), InternalServerError), ("stall", DeadlineExceededError)]
)
def test_a_stream_that_does_not_begin(scripted: Scripted, connect: Connect, reply: Any, kind: type[Exception]) -> None:
    scripted.replies = [reply]
    with connect(scripted.url) as client:
        client.describe("m")
        with pytest.raises(kind):
            next(client.stream("m", x=[[1, 1]], timeout_s=0.3 if reply == "stall" else 20))


def test_no_server(connect: Connect, way: str) -> None:
    with connect(f"{way.removesuffix('-async')}://127.0.0.1:1", retry=None) as client, pytest.raises(UnreachableError):
        next(client.stream("m", x=1))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tasks_stream_side_by_side(urls: dict[str, str], protocol: str) -> None:
    async def follow(client: AsyncClient, count: int) -> int:
        async with aclosing(client.stream("counter", n=count)) as answers:
            return sum([1 async for _ in answers])

    async def run() -> list[int]:
        async with AsyncClient(urls[protocol]) as client:
            return await asyncio.gather(*(follow(client, count) for count in range(10)))

    assert asyncio.run(run()) == list(range(10))


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_the_fake_transport_streams(way: str) -> None:
    fake = FakeTransport()
    fake.model("m", inputs={"n": ("INT32", [1])}, outputs={"i": ("INT32", [1])})
    fake.answer("m", lambda call: [{"i": [number]} for number in range(call.inputs["n"].item())])
    fake.fail("m", InternalServerError("broke"))
    with open_client(way, "http://anywhere", transport=fake) as client:
        assert [answer["i"].item() for answer in client.stream("m", n=3)] == [0, 1, 2]
        with pytest.raises(InternalServerError, match="broke"):
            list(client.stream("m", n=3))
