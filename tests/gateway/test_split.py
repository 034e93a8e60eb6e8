"""Who is answered by which server: shares, callers that stay, and switching without a failed request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.envoy_admin import EnvoyAdmin
from maas_gateway.key_store import KeyStore
from maas_gateway.routing import Routing, Split
from tests.gateway.pressure import Pressure
from tests.gateway.running import (
    Caller,
    Gateway,
    HttpCaller,
    frozen,
    running_gateway,
    start_gateway,
    upstream,
)
from tests.loadtest.stub_server import MODEL, Stub, stub_server
from tests.waiting import wait_until

STABLE, CANDIDATE = "1", "2"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Stub, Stub]]:
    with stub_server(versions=STABLE) as stable, stub_server(versions=CANDIDATE) as candidate:
        yield stable, candidate


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, servers: tuple[Stub, Stub]) -> Iterator[Gateway]:
    # A blank in the path is nothing special to a caller.
    state = tmp_path_factory.mktemp("a gateway") / "its state"
    with running_gateway(state, upstream(servers[0])) as gateway:
        yield gateway


def versions_by_caller(caller: Caller, count: int) -> dict[str, str]:
    replies = {f"caller-{i}": caller.infer(headers={"x-caller-id": f"caller-{i}"}) for i in range(count)}
    assert all(reply.is_good for reply in replies.values()), replies
    return {name: reply.version for name, reply in replies.items()}


def test_without_a_split_everybody_is_answered_by_the_stable_server(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    gateway.route(Routing(stable=upstream(servers[0])))
    with gateway.callers() as callers:
        for caller in callers:
            reply = caller.infer()
            assert (reply.version, reply.side) == (STABLE, "stable")


def test_callers_are_divided_by_the_weight_and_stay_where_they_are(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    count, candidates = 400, {}
    with gateway.callers() as (http, grpc):
        for percent in (5, 25, 50, 100):
            gateway.split(*servers, percent)
            by_http = versions_by_caller(http, count)
            assert versions_by_caller(http, count) == by_http
            assert versions_by_caller(grpc, count) == by_http
            candidates[percent] = {caller for caller, version in by_http.items() if version == CANDIDATE}
            # Five standard deviations of a binomial: a right split fails this once in two million times.
            share, spread = percent / 100, 5 * (count * percent / 100 * (1 - percent / 100)) ** 0.5
            assert abs(len(candidates[percent]) - count * share) <= spread, (percent, len(candidates[percent]))
    assert candidates[5] < candidates[25] < candidates[50] < candidates[100]


def test_requests_that_name_no_caller_are_divided_one_by_one(gateway: Gateway, servers: tuple[Stub, Stub]) -> None:
    gateway.split(*servers, 50)
    with gateway.callers() as callers:
        for caller in callers:
            seen = Counter(caller.infer().version for _ in range(200))
            assert set(seen) == {STABLE, CANDIDATE}
            assert min(seen.values()) > 60


def test_only_the_model_that_is_split_goes_to_the_candidate(gateway: Gateway, servers: tuple[Stub, Stub]) -> None:
    stable, candidate = servers
    gateway.route(
        Routing(stable=upstream(stable), candidate=upstream(candidate), splits={"other": Split(candidate_percent=100)})
    )
    with gateway.callers() as callers:
        for caller in callers:
            assert caller.infer(MODEL).version == STABLE


@pytest.mark.parametrize("percent", [1, 50, 100])
def test_who_names_a_version_gets_it_from_the_server_that_has_it(
    gateway: Gateway, servers: tuple[Stub, Stub], percent: int
) -> None:
    gateway.split(*servers, percent, mirror_percent=0)
    sides = {STABLE: "stable", CANDIDATE: "candidate"}
    with gateway.callers() as callers:
        for caller in callers:
            for version, side in sides.items():
                replies = [caller.infer(version=version, headers={"x-caller-id": f"caller-{i}"}) for i in range(10)]
                assert {(reply.version, reply.side) for reply in replies} == {(version, side)}


@pytest.mark.parametrize("percent", [1, 100])
def test_a_sequence_that_names_a_version_lives_on_the_server_that_has_it(
    gateway: Gateway, servers: tuple[Stub, Stub], percent: int
) -> None:
    gateway.split(*servers, percent)
    with gateway.callers() as callers:
        for caller in callers:
            for version in (STABLE, CANDIDATE):
                for sequence in range(1, 9):
                    step = {"sequence_id": sequence}
                    begun = caller.infer(version=version, parameters={**step, "sequence_start": True})
                    assert (begun.version, caller.infer(version=version, parameters=step).version) == (version, version)


def connections(gateway: Gateway) -> int:
    """How many Envoy has taken of callers so far."""
    return int(EnvoyAdmin(gateway.ready["admin"]).stats("^http.gateway.downstream_cx_total$").popitem()[1])


def test_no_request_fails_and_no_connection_drops_while_weights_are_switched_50_times(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    gateway.split(*servers, 0)
    before = connections(gateway)
    with Pressure(gateway) as pressure:
        for turn in range(50):
            if turn % 10 == 9:
                # The candidate goes altogether, and comes back.
                gateway.route(Routing(stable=upstream(servers[0])))
            gateway.split(*servers, (turn * 37) % 101)
    assert not pressure.bad, pressure.bad[:5]
    # A gRPC channel would connect again without a word.
    assert connections(gateway) - before == pressure.callers
    assert min(pressure.versions[STABLE], pressure.versions[CANDIDATE]) > 20


def test_a_request_in_flight_is_answered_when_its_server_is_taken_out(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    with stub_server(versions="3") as slow, gateway.callers() as callers, ThreadPoolExecutor() as pool:
        gateway.split(servers[0], slow, 100)
        with frozen(slow.pid):
            asked = [pool.submit(caller.infer) for caller in callers]
            wait_until(lambda: gateway.in_flight("candidate") == 2, "the slow server has both requests")
            gateway.route(Routing(stable=upstream(servers[0])))
            assert HttpCaller(gateway.url).infer().version == STABLE
            assert not any(request.done() for request in asked)
        assert [request.result().version for request in asked] == ["3", "3"]


def test_a_caller_with_an_api_key_stays_on_its_side(tmp_path: Path, servers: tuple[Stub, Stub]) -> None:
    state = tmp_path / "state"
    store = KeyStore(AdmissionSettings(state=state).keys_file)
    secrets = [store.create("acme", (MODEL,))[1] for _ in range(40)]
    gateway = start_gateway(state, upstream(servers[0]), "--drain-timeout", "1")
    try:
        gateway.split(*servers, 50)
        with gateway.callers() as (http, grpc):
            ways = [(http, "x-api-key", "{}"), (http, "authorization", "Bearer {}"), (grpc, "x-api-key", "{}")]
            seen = [
                {secret: caller.infer(headers={header: form.format(secret)}).version for secret in secrets}
                for caller, header, form in ways * 2
            ]
    finally:
        gateway.stop()
    assert all(versions == seen[0] for versions in seen)
    assert set(seen[0].values()) == {STABLE, CANDIDATE}
