"""What callers notice of a server that dies, or answers that it cannot now."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.metering import read_requests
from maas_gateway.routing import Routing, Split, Upstream
from tests.gateway.flaky_server import Overloaded
from tests.gateway.pressure import Pressure
from tests.gateway.running import Gateway, running_gateway, upstream
from tests.loadtest.stub_server import MODEL, Stub, stub_server
from tests.waiting import wait_until

STABLE, CANDIDATE = "1", "2"
GONE = Upstream(http="127.0.0.1:9", grpc="127.0.0.1:9")


@pytest.fixture(scope="module")
def stable() -> Iterator[Stub]:
    with stub_server(versions=STABLE) as stub:
        yield stub


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, stable: Stub) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway") / "state", upstream(stable)) as gateway:
        yield gateway


def all_to(candidate: Upstream, stable: Stub) -> Routing:
    return Routing(stable=upstream(stable), candidate=candidate, splits={MODEL: Split(candidate_percent=100)})


def test_when_the_candidate_is_killed_its_callers_are_answered_by_the_stable_server(
    gateway: Gateway, stable: Stub
) -> None:
    with stub_server(versions=CANDIDATE) as candidate:
        gateway.split(stable, candidate, 100)
        with Pressure(gateway) as pressure:
            wait_until(lambda: pressure.versions[CANDIDATE] > 50, "answers of the candidate")
            os.kill(candidate.pid, signal.SIGKILL)
            wait_until(lambda: pressure.versions[STABLE] > 200, "answers of the stable server")
    # Only what was being asked in that moment may fail, and in a way that tells a client to ask again. A killed
    # process's connections close one after the other: who asks again at once may meet one that has not yet.
    assert len(pressure.bad) <= 2 * pressure.callers, pressure.bad
    assert all(not isinstance(reply, str) and reply.status in (503, 14) for reply in pressure.bad), pressure.bad

    def aims_of_what_stable_took() -> set[str]:
        lines = read_requests(AdmissionSettings(state=gateway.state))
        return {line.aimed_at for line in lines if line.side == "stable"}

    wait_until(aims_of_what_stable_took, "lines of the requests that the stable server took")
    assert aims_of_what_stable_took() == {"candidate"}


def test_a_candidate_that_was_never_there_fails_nobody(gateway: Gateway, stable: Stub) -> None:
    gateway.route(all_to(GONE, stable))
    with gateway.callers() as callers:
        for caller in callers:
            for _ in range(20):
                reply = caller.infer()
                assert (reply.version, reply.side) == (STABLE, "stable")


def test_a_candidate_that_cannot_now_is_replaced_within_the_request(gateway: Gateway, stable: Stub) -> None:
    overloaded = Overloaded()
    with overloaded.served() as candidate:
        gateway.route(all_to(candidate, stable))
        gateway.wait_candidate()
        with gateway.callers() as callers:
            for caller in callers:
                assert caller.infer().version == STABLE
        assert overloaded.asked >= 1


def test_a_candidate_that_keeps_failing_is_no_longer_asked(gateway: Gateway, stable: Stub) -> None:
    overloaded = Overloaded()
    with overloaded.served() as candidate:
        gateway.route(all_to(candidate, stable))
        gateway.wait_candidate()
        with gateway.callers() as (http, _):

            def asked_for_20_answers() -> int:
                before = overloaded.asked
                for _ in range(20):
                    assert http.infer().version == STABLE
                return overloaded.asked - before

            assert asked_for_20_answers() > 0
            # Not at once: a thread of its own takes the candidate out, while others answer.
            wait_until(lambda: asked_for_20_answers() == 0, "the candidate is no longer asked")


def test_a_request_is_tried_again_but_a_step_of_a_sequence_never(gateway: Gateway) -> None:
    overloaded = Overloaded()
    with overloaded.served() as only, gateway.callers() as callers:
        gateway.route(Routing(stable=only))
        for caller, status in zip(callers, (503, 14), strict=True):
            overloaded.asked = 0
            assert caller.infer().status == status
            assert overloaded.asked == 3
            for start in (True, False):
                overloaded.asked = 0
                assert caller.infer(parameters={"sequence_id": 5, "sequence_start": start}).status == status
                assert overloaded.asked == 1
            # Nor where the caller asks Envoy itself for it.
            overloaded.asked = 0
            insists = {"x-envoy-retry-on": "5xx,gateway-error,unavailable", "x-envoy-max-retries": "5"}
            assert caller.infer(headers=insists, parameters={"sequence_id": 5}).status == status
            assert overloaded.asked == 1


def test_an_error_of_the_gateway_looks_like_one_of_triton(gateway: Gateway) -> None:
    gateway.route(Routing(stable=GONE))
    with gateway.callers() as (http, grpc):
        by_http = http.infer()
        assert by_http.status == 503
        assert json.loads(by_http.text).keys() == {"error"}
        assert by_http.retry_after == "1"
        assert grpc.infer().status == 14


def test_a_server_that_comes_later_and_is_named_not_numbered_is_found(gateway: Gateway, stable: Stub) -> None:
    there = upstream(stable)
    named = Upstream(**{key: value.replace("127.0.0.1", "localhost") for key, value in there.model_dump().items()})
    gateway.route(Routing(stable=GONE))
    with gateway.callers() as (http, _):
        assert http.infer().status == 503
        gateway.route(Routing(stable=named))
        wait_until(lambda: http.infer().version == STABLE, "an answer of the server that was named")
