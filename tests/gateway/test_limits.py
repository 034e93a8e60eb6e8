"""How often and how much at a time a tenant may call."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.key_store import KeyStore, Tenant
from tests.gateway.running import Gateway, frozen, start_gateway, upstream
from tests.loadtest.stub_server import MODEL, Stub, stub_server
from tests.waiting import wait_until

DELAY_MS = 100
"""Longer than a tenant that was refused is refused without another look (FULL_MS in limits.lua)."""
TOO_MANY = (429, 8)
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]})


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """A server that takes its time."""
    with stub_server(delay_ms=DELAY_MS) as stub:
        yield stub


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, stub: Stub) -> Iterator[Gateway]:
    """One that asks for keys, in front of the stub."""
    gateway = start_gateway(tmp_path_factory.mktemp("limits") / "state", upstream(stub), "--drain-timeout", "1")
    yield gateway
    gateway.stop()


def limited(gateway: Gateway, name: str, rate: float | None = None, **limits: int) -> str:
    """A key of a new tenant with these limits, which the gateway knows already."""
    store = KeyStore(AdmissionSettings(state=gateway.state).keys_file)
    store.limit(Tenant(name, rate, **limits))
    _, secret = store.create(name, ("*",))
    with gateway.callers() as (caller, _):
        # For a model that does not exist, so that nothing of the limits is used up by a slow answer.
        wait_until(lambda: caller.infer(MODEL + "_", {"x-api-key": secret}).status != 401, "the key is known")
    return secret


def at_once(gateway: Gateway, stub: Stub, secrets: list[str], way: str) -> list[int]:
    """The statuses of requests with these keys, none of which is answered by the stub before all have come."""

    def ask(key: str) -> int:
        with gateway.callers() as callers:
            return callers[way == "grpc"].infer(headers={"x-api-key": key}).status

    with ThreadPoolExecutor(len(secrets)) as pool:
        with frozen(stub.pid):
            asked = [pool.submit(ask, key) for key in secrets]

            def have_come() -> bool:
                refused = sum(request.done() for request in asked)
                return refused + gateway.in_flight() == len(secrets)

            wait_until(have_come, "each is refused or with the stub")
        return [request.result() for request in asked]


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_who_calls_too_often_is_told_to_wait(gateway: Gateway, way: str) -> None:
    often, other = limited(gateway, f"often-{way}", 0.001, burst=4), limited(gateway, f"other-{way}")
    with gateway.callers() as callers:
        caller = callers[way == "grpc"]
        statuses = [caller.infer(headers={"x-api-key": often}).status for _ in range(6)]
        assert [status in TOO_MANY for status in statuses][-3:] == [True] * 3
        assert statuses[0] not in TOO_MANY
        assert caller.infer(headers={"x-api-key": other}).is_good


def test_retry_after_says_how_long(gateway: Gateway) -> None:
    secret = limited(gateway, "seldom", 0.001, burst=1)
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
    connection.request("POST", f"/v2/models/{MODEL}/infer", BODY, {"x-api-key": secret})
    answer = connection.getresponse()
    assert answer.status == 429
    assert 800 <= int(answer.headers["retry-after"]) <= 1000
    assert "0.001 requests per second" in json.loads(answer.read())["error"]
    connection.close()


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_only_so_many_are_in_flight(gateway: Gateway, stub: Stub, way: str) -> None:
    secret, other = limited(gateway, f"two-{way}", concurrency=2), limited(gateway, f"any-{way}")
    for _ in range(2):
        # What was in flight a moment ago is answered, and makes room again.
        statuses = at_once(gateway, stub, [secret] * 5 + [other], way)
        assert [status in TOO_MANY for status in statuses].count(True) == 3, statuses
        assert statuses[5] not in TOO_MANY


def test_who_goes_away_frees_its_place(gateway: Gateway, stub: Stub) -> None:
    secret = limited(gateway, "leaver", concurrency=2)
    for _ in range(10):
        leaver = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
        leaver.request("POST", f"/v2/models/{MODEL}/infer", BODY, {"x-api-key": secret})
        leaver.close()
    with gateway.callers() as (caller, _):
        wait_until(lambda: caller.infer(headers={"x-api-key": secret}).is_good, "room for another request")
    # All places are free again, not just one.
    assert [status in TOO_MANY for status in at_once(gateway, stub, [secret] * 2, "http")] == [False, False]


def test_a_limit_that_is_lifted_holds_no_longer(gateway: Gateway) -> None:
    secret = limited(gateway, "lifted", 0.001, burst=1)
    with gateway.callers() as (caller, _):
        assert [caller.infer(headers={"x-api-key": secret}).status for _ in range(2)][-1] in TOO_MANY
        KeyStore(AdmissionSettings(state=gateway.state).keys_file).limit(Tenant("lifted"))
        wait_until(lambda: caller.infer(headers={"x-api-key": secret}).is_good, "no limit any more")
        assert all(caller.infer(headers={"x-api-key": secret}).is_good for _ in range(4))
