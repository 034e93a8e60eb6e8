"""Calls are repeated only where that makes sense and the deadline allows; dead servers are left alone."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from maas_client import (
    Breaker,
    CircuitOpenError,
    ConnectionLostError,
    DeadlineExceededError,
    InputError,
    InternalServerError,
    InvalidRequestError,
    MaasClientError,
    QuotaExceededError,
    RefusedValueError,
    Retry,
    UnavailableError,
    UnreachableError,
    _endpoints,
)
from maas_client._deadline import Deadline
from maas_client._retry import is_transient
from tests.client.scripted import ONES, Scripted

Connect = Callable[..., Any]
QUICK = Retry(attempts=3, base_s=0.01, max_s=0.01)


@pytest.fixture
def dead_url(way: str) -> Iterator[str]:
    """Where nobody listens, and nobody else can either: other test processes look for free ports too."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"{way.removesuffix('-async')}://127.0.0.1:{bound.getsockname()[1]}"


class Clock:
    """In place of the module ``time``, for circuits whose server is tried again when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_endpoints, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (UnreachableError("x"), True),
        (ConnectionLostError("x"), True),
        (UnavailableError("queue full"), True),
        (QuotaExceededError("x", retry_after_s=1.0), True),
        (QuotaExceededError("x"), False),
        (InternalServerError("Stub process 'm_0' is not healthy."), True),
        (InternalServerError("division by zero"), False),
        (InvalidRequestError("x"), False),
        (DeadlineExceededError("x"), False),
    ],
)
def test_what_is_transient(error: MaasClientError, transient: bool) -> None:
    assert is_transient(error) is transient
    assert (Retry().pause_s(error, 1, Deadline(100), may_be_applied_twice=True) is not None) is transient


@pytest.mark.parametrize("error", [UnavailableError("x"), ConnectionLostError("x")])
def test_a_step_that_may_have_been_applied_is_not_repeated(error: MaasClientError) -> None:
    assert Retry().pause_s(error, 1, Deadline(None), may_be_applied_twice=False) is None
    assert Retry().pause_s(UnreachableError("x"), 1, Deadline(None), may_be_applied_twice=False) is not None


def test_waits_grow_are_spread_and_end() -> None:
    retry = Retry(attempts=10, base_s=1.0, max_s=4.0)
    for attempt, ceiling_s in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        waits = [
            retry.pause_s(UnavailableError("x"), attempt, Deadline(None), may_be_applied_twice=True) for _ in range(99)
        ]
        assert all(wait is not None and 0 <= wait <= ceiling_s for wait in waits)
        assert len(set(waits)) > 50
    assert retry.pause_s(UnavailableError("x"), 10, Deadline(None), may_be_applied_twice=True) is None


def test_retry_after_is_kept_and_a_wait_beyond_the_deadline_is_not_begun() -> None:
    busy = UnavailableError("x", retry_after_s=5.0)
    assert (Retry().pause_s(busy, 1, Deadline(100), may_be_applied_twice=True) or 0) >= 5
    assert Retry().pause_s(busy, 1, Deadline(4), may_be_applied_twice=True) is None


@pytest.mark.parametrize("options", [{"attempts": 0}, {"base_s": -1}, {"base_s": 2, "max_s": 1}])
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RefusedValueError, match="Retry wants"):
        Retry(**options)
    with pytest.raises(RefusedValueError, match="Breaker wants"):
        Breaker(failures=0)


def test_a_busy_server_is_asked_again(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.busy(), scripted.busy(), scripted.good()]
    with connect(scripted.url, retry=QUICK) as client:
        assert client.infer("m", x=ONES).timing.attempts == 3
    assert len(scripted.asked) == 3


def test_after_the_last_attempt_the_error_is_told(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.busy()]
    with connect(scripted.url, retry=QUICK) as client, pytest.raises(UnavailableError, match="queue full"):
        client.infer("m", x=ONES)
    assert len(scripted.asked) == 3


def test_a_refused_request_is_not_repeated(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.wrong("no")]
    with connect(scripted.url, retry=QUICK) as client, pytest.raises(InvalidRequestError):
        client.infer("m", x=ONES)
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_reset_connection_is_made_anew(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = ["reset", scripted.good()]
    with connect(scripted.url, retry=QUICK) as client:
        np.testing.assert_array_equal(client.infer("m", x=ONES)["y"], ONES)


def test_one_deadline_holds_over_all_attempts(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.busy(), "stall"]
    with connect(scripted.url, retry=QUICK) as client:
        client.describe("m")
        with pytest.raises(DeadlineExceededError, match="within 3 s"):
            client.infer("m", x=ONES, timeout_s=3)
    assert len(scripted.asked) == 2


def test_a_server_that_does_not_answer_is_left_alone_and_found_again(
    connect: Connect, dead_url: str, clock: Clock
) -> None:
    with connect(dead_url, retry=None, breaker=Breaker(failures=2, open_s=0.2)) as client:
        for _ in range(2):
            with pytest.raises(UnreachableError):
                client.describe("m")
        with pytest.raises(CircuitOpenError, match=dead_url):
            client.describe("m")
        assert not client.is_ready()
        clock.now_s += 0.25
        with pytest.raises(UnreachableError):
            client.describe("m")


def test_calls_go_round_over_the_servers_that_answer(
    connect: Connect, way: str, dead_url: str, urls: dict[str, str]
) -> None:
    alive = urls[way.removesuffix("-async")]
    with connect([dead_url, alive], retry=QUICK, breaker=Breaker(failures=2, open_s=60)) as client:
        answers = [client.infer("small", x=[[[1, 2, 3]]]) for _ in range(8)]
        assert client.is_ready()
    assert all(answer["y"].tolist() == [[[1, 2, 3]]] for answer in answers)
    assert [answer.timing.attempts for answer in answers[-4:]] == [1, 1, 1, 1]


def test_a_server_that_came_back_is_asked_if_it_is_ready_before_it_gets_calls(
    scripted: Scripted, connect: Connect, clock: Clock
) -> None:
    scripted.replies = [scripted.busy(), scripted.good()]
    with connect(scripted.url, retry=None, breaker=Breaker(failures=1, open_s=0.1)) as client:
        client.describe("m")
        with pytest.raises(UnavailableError):
            client.infer("m", x=ONES)
        with pytest.raises(CircuitOpenError):
            client.infer("m", x=ONES)
        clock.now_s += 0.15
        scripted.ready = False
        with pytest.raises(UnavailableError, match="not ready"):
            client.infer("m", x=ONES)
        clock.now_s += 0.15
        scripted.ready = True
        np.testing.assert_array_equal(client.infer("m", x=ONES)["y"], ONES)
    assert len(scripted.asked) == 2


@pytest.mark.parametrize("url", [[], ["http://127.0.0.1:1", "grpc://127.0.0.1:1"]])
def test_the_urls_of_a_client_have_one_protocol(connect: Connect, url: list[str]) -> None:
    with pytest.raises(InputError, match="one protocol"):
        connect(url)


@pytest.mark.parametrize("way", ["http"])
def test_health_says_no_rather_than_to_raise(scripted: Scripted, connect: Connect) -> None:
    scripted.ready = False
    with connect(scripted.url) as client:
        assert not client.is_ready()
        assert not client.model_ready("m")
