"""Hedging, over all four ways: off by default; the first answer counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from maas_client import RefusedValueError, UnavailableError
from tests.client.scripted import Scripted, scripted_grpc, scripted_http
from tests.waiting import wait_until

Connect = Callable[..., Any]
X = [[1.0, 2.0]]


def late(server: Scripted) -> Callable[[], Any]:
    """A reply that leaves the client time to send its call once more."""

    def reply() -> Any:
        time.sleep(0.5)
        return server.good()

    return reply


def test_no_call_is_hedged_by_default(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [late(scripted)]
    with connect(scripted.url, timeout_s=20, retry=None) as client:
        assert client.infer("m", x=X).timing.attempts == 1
    assert len(scripted.asked) == 1


def test_a_call_without_an_answer_is_sent_once_more(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = ["stall", scripted.good()]
    with connect(scripted.url, timeout_s=20, hedge_after_s=0.1) as client:
        answer = client.infer("m", x=X)
    assert answer["y"].tolist() == [[1, 1]]
    assert answer.timing.attempts == 2
    assert scripted.asked[0] == scripted.asked[1]


def test_a_call_that_is_answered_in_time_is_sent_once(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with connect(scripted.url, timeout_s=20, hedge_after_s=10) as client:
        assert client.infer("m", x=X).timing.attempts == 1
    assert len(scripted.asked) == 1


def test_the_second_goes_to_another_server(scripted: Scripted, connect: Connect) -> None:
    with scripted_grpc() if scripted.url.startswith("grpc") else scripted_http() as other:
        scripted.replies, other.replies = ["stall"], [other.good()]
        with connect([scripted.url, other.url], timeout_s=20, hedge_after_s=0.1) as client:
            for _ in range(4):
                assert client.infer("m", x=X)["y"].tolist() == [[1, 1]]
    assert scripted.asked
    assert len(other.asked) == 4


def test_one_failure_leaves_the_other_its_time(scripted: Scripted, connect: Connect) -> None:
    with scripted_grpc() if scripted.url.startswith("grpc") else scripted_http() as other:

        def after_the_other_failed() -> Any:
            wait_until(lambda: other.asked, "the call was sent once more")
            return late(scripted)()

        scripted.replies, other.replies = [after_the_other_failed], [other.busy()]
        with connect([scripted.url, other.url], timeout_s=20, hedge_after_s=0.1, retry=None) as client:
            answer = client.infer("m", x=X)
    assert answer["y"].tolist() == [[1, 1]]
    assert answer.timing.attempts == 2
    assert (len(scripted.asked), len(other.asked)) == (1, 1)


def test_an_error_that_comes_at_once_is_told_at_once(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.busy()]
    with (
        connect(scripted.url, timeout_s=20, hedge_after_s=10, retry=None) as client,
        pytest.raises(UnavailableError, match="queue full"),
    ):
        client.infer("m", x=X)


def test_a_step_of_a_sequence_is_never_hedged(scripted: Scripted, connect: Connect) -> None:
    scripted.sequence = True
    scripted.replies = [late(scripted), scripted.good()]
    with connect(scripted.url, timeout_s=20, hedge_after_s=0.05) as client, client.sequence("m") as sequence:
        sequence.infer(x=X)
    step, end = scripted.asked
    assert step != end


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_that_makes_no_sense_is_refused(connect: Connect, seconds: float) -> None:
    with pytest.raises(RefusedValueError, match="hedge_after_s is a positive number"):
        connect("http://127.0.0.1:1", hedge_after_s=seconds)
