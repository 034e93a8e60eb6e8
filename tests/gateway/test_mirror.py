"""Requests that are mirrored are asked of both servers, and differences are found; callers notice nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from maas_gateway.differences import differences_path
from maas_gateway.routing import Routing, Split, Upstream
from tests.gateway.running import Gateway, frozen, running_gateway, upstream
from tests.loadtest.stub_server import MODEL, Stub, stub_server
from tests.waiting import wait_until

STABLE = "1"


@pytest.fixture(scope="module")
def stable() -> Iterator[Stub]:
    with stub_server(versions=STABLE) as stub:
        yield stub


@pytest.fixture(scope="module")
def of_all_tests(tmp_path_factory: pytest.TempPathFactory, stable: Stub) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway") / "state", upstream(stable)) as gateway:
        yield gateway


@pytest.fixture
def gateway(of_all_tests: Gateway) -> Gateway:
    """Without the comparisons of the test before."""
    differences_path(of_all_tests.state).unlink(missing_ok=True)
    return of_all_tests


def comparisons(gateway: Gateway, at_least: int) -> list[dict[str, Any]]:
    path = differences_path(gateway.state)
    wait_until(lambda: path.exists() and path.read_text().count("\n") >= at_least, f"{at_least} comparisons")
    return [json.loads(line) for line in path.read_text().splitlines()]


def ask_both_ways(gateway: Gateway, times: int) -> None:
    with gateway.callers() as callers:
        for caller in callers:
            for _ in range(times):
                assert caller.infer().version == STABLE


def test_equal_answers_are_written_down_as_equal(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2") as candidate:
        gateway.split(stable, candidate, 0, mirror_percent=100)
        ask_both_ways(gateway, 5)
        lines = comparisons(gateway, 10)
    assert [line["equal"] for line in lines] == [True] * 10
    assert {line["protocol"] for line in lines} == {"http", "grpc"}
    assert all(line["worst"] == 0.0 and line["model"] == MODEL and line["not_compared"] == 0 for line in lines)
    assert {(line["stable_status"], line["candidate_status"]) for line in lines} == {(200, 200), (0, 0)}


def test_wrong_answers_of_the_candidate_are_found(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2", wrong_every=4) as candidate:
        gateway.split(stable, candidate, 0, mirror_percent=100)
        ask_both_ways(gateway, 20)
        lines = comparisons(gateway, 40)
    different = [line for line in lines if not line["equal"]]
    assert len(different) == 10
    # None where the wrong number is infinite.
    assert all(line["where"] == "y" and line["worst"] != 0 for line in different)


def test_errors_of_the_candidate_are_found(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2", error_every=1) as candidate:
        gateway.split(stable, candidate, 0, mirror_percent=100)
        ask_both_ways(gateway, 3)
        lines = comparisons(gateway, 6)
    assert {(line["equal"], line["where"], line["worst"]) for line in lines} == {(False, "status", None)}
    assert {line["candidate_status"] for line in lines} == {500, 13}


def test_a_candidate_that_does_not_answer_is_a_difference_and_no_caller_notices(gateway: Gateway, stable: Stub) -> None:
    gone = Upstream(http="127.0.0.1:9", grpc="127.0.0.1:9")
    gateway.route(Routing(stable=upstream(stable), candidate=gone, splits={MODEL: Split(mirror_percent=100)}))
    ask_both_ways(gateway, 2)
    lines = comparisons(gateway, 4)
    assert {line["candidate_status"] for line in lines} == {-1, 14}
    assert not any(line["equal"] for line in lines)


def test_what_the_candidate_answered_is_compared_too(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2", wrong_every=1) as candidate:
        gateway.split(stable, candidate, 50, mirror_percent=100)
        with gateway.callers() as callers:
            answered_by = Counter(
                caller.infer(headers={"x-caller-id": str(number)}).version for caller in callers for number in range(20)
            )
        lines = comparisons(gateway, 40)
    assert answered_by.keys() == {STABLE, "2"}
    assert len(lines) == 40
    assert not any(line["equal"] for line in lines)


def test_steps_of_sequences_are_never_mirrored(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2") as candidate:
        gateway.split(stable, candidate, 0, mirror_percent=100)
        with gateway.callers() as callers:
            for caller in callers:
                for start in (True, False):
                    parameters = {"sequence_id": 3, "sequence_start": start}
                    assert caller.infer(parameters=parameters).version == STABLE
        ask_both_ways(gateway, 1)
        assert len(comparisons(gateway, 2)) == 2


def test_comparisons_that_could_not_be_written_are_counted(gateway: Gateway, stable: Stub) -> None:
    path = differences_path(gateway.state)
    with stub_server(versions="2") as candidate:
        gateway.split(stable, candidate, 0, mirror_percent=100)
        path.mkdir()
        ask_both_ways(gateway, 2)
        wait_until(lambda: candidate.requests() >= 4, "the candidate was asked what could be compared")
        path.rmdir()
        ask_both_ways(gateway, 1)

        def accounted_for() -> int:
            return sum(1 + line["not_compared"] for line in comparisons(gateway, 1))

        wait_until(lambda: accounted_for() >= 6, "each request has a line, or is counted in one")
        assert accounted_for() == 6
        # Two are compared at a time: the last two may come to be written when the folder is gone.
        assert sum(line["not_compared"] for line in comparisons(gateway, 1)) >= 2


def test_what_is_mirrored_while_nobody_takes_it_waits(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2") as candidate, gateway.callers() as (http, _):
        gateway.split(stable, candidate, 0, mirror_percent=100)
        with frozen(gateway.process.pid):
            for _ in range(60):
                assert http.infer().version == STABLE
            wait_until(lambda: gateway.in_flight("mirror") == 60, "each has a connection")
        assert len(comparisons(gateway, 60)) == 60


def test_a_share_is_mirrored(gateway: Gateway, stable: Stub) -> None:
    with stub_server(versions="2") as candidate:
        gateway.split(stable, candidate, 0, mirror_percent=20)
        ask_both_ways(gateway, 100)
        lines = comparisons(gateway, 10)
    # All 200 would be there long ago: comparing takes less time than asking.
    assert len(lines) <= 90
