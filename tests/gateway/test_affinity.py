"""Steps of a sequence go to the server that holds its state, whatever happens to the weights meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.key_store import KeyStore
from maas_gateway.routing import Routing
from tests.gateway.running import Caller, Gateway, running_gateway, start_gateway, upstream
from tests.loadtest.stub_server import MODEL, Stub, stub_server

STABLE, CANDIDATE = "1", "2"
IDS: list[int | str] = [*range(1, 41), *(f"talk {n}" for n in range(40))]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Stub, Stub]]:
    with stub_server(versions=STABLE) as stable, stub_server(versions=CANDIDATE) as candidate:
        yield stable, candidate


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, servers: tuple[Stub, Stub]) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway") / "state", upstream(servers[0])) as gateway:
        yield gateway


def begin(caller: Caller, sequence: int | str) -> str:
    reply = caller.infer(parameters={"sequence_id": sequence, "sequence_start": True})
    assert reply.is_good, reply
    return reply.version


def step(caller: Caller, sequence: int | str) -> str:
    reply = caller.infer(parameters={"sequence_id": sequence})
    assert reply.is_good, reply
    return reply.version


def test_steps_follow_the_first_one_and_first_ones_follow_the_weight(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    with gateway.callers() as (http, grpc):
        gateway.split(*servers, 50)
        began = {sequence: begin(http, sequence) for sequence in IDS}
        assert set(began.values()) == {STABLE, CANDIDATE}
        for percent in (0, 100, 5):
            gateway.split(*servers, percent)
            # Over either protocol: it is one sequence.
            assert {sequence: step(http, sequence) for sequence in IDS} == began
            assert {sequence: step(grpc, sequence) for sequence in IDS} == began
        gateway.split(*servers, 100)
        assert {begin(grpc, sequence) for sequence in IDS} == {CANDIDATE}
        gateway.split(*servers, 0)
        assert {begin(http, sequence) for sequence in IDS} == {STABLE}


def test_sequences_that_began_before_the_candidate_came_stay_with_the_stable_server(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    gateway.route(Routing(stable=upstream(servers[0])))
    with gateway.callers() as (http, _):
        assert {begin(http, sequence) for sequence in IDS} == {STABLE}
        gateway.split(*servers, 100)
        assert {step(http, sequence) for sequence in IDS} == {STABLE}


def test_the_caller_is_told_when_the_server_with_the_state_is_gone(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    with gateway.callers() as (http, grpc):
        gateway.split(*servers, 100)
        assert begin(http, 7) == CANDIDATE
        gateway.route(Routing(stable=upstream(servers[0])))
        by_http, by_grpc = http.infer(parameters={"sequence_id": 7}), grpc.infer(parameters={"sequence_id": 7})
        assert by_http.status == 410
        assert not by_grpc.is_good
        for reply in (by_http, by_grpc):
            assert "begin the sequence anew" in reply.text
        assert begin(http, 7) == STABLE
        assert step(grpc, 7) == STABLE


def test_a_caller_cannot_choose_its_side(gateway: Gateway, servers: tuple[Stub, Stub]) -> None:
    gateway.split(*servers, 0)
    with gateway.callers() as callers:
        for caller in callers:
            assert caller.infer(headers={"x-maas-side": "candidate"}).version == STABLE
            assert caller.infer(headers={"x-maas-side": "candidate", "x-maas-sequence": "9"}).version == STABLE


def test_sequences_stay_when_envoy_was_started_again_and_the_weight_is_the_same(
    gateway: Gateway, servers: tuple[Stub, Stub]
) -> None:
    gateway.split(*servers, 50)
    with gateway.callers() as (http, _):
        began = {sequence: begin(http, sequence) for sequence in IDS}
    os.kill(gateway.ready["envoy_pid"], signal.SIGKILL)
    gateway.event("envoy_back")
    with gateway.callers() as (http, _):
        assert {sequence: step(http, sequence) for sequence in IDS} == began


def test_two_tenants_may_use_the_same_id(tmp_path: Path, servers: tuple[Stub, Stub]) -> None:
    state = tmp_path / "state"
    store = KeyStore(AdmissionSettings(state=state).keys_file)
    keys = [{"x-api-key": store.create(tenant, (MODEL,))[1]} for tenant in ("acme", "umbra")]
    start = {"sequence_id": 7, "sequence_start": True}
    gateway = start_gateway(state, upstream(servers[0]), "--drain-timeout", "1")
    try:
        with gateway.callers() as (http, _):
            for percent, key in zip((0, 100), keys, strict=True):
                gateway.split(*servers, percent)
                assert http.infer(headers=key, parameters=start).is_good
            seen = [http.infer(headers=key, parameters={"sequence_id": 7}).version for key in keys]
    finally:
        gateway.stop()
    assert seen == [STABLE, CANDIDATE]
