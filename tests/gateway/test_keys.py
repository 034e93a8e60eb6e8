"""API keys: who is let in, to which models, until when; and that a change needs no restart and drops no connection."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.key_store import KeyStore, Tenant
from maas_gateway.keys_cli import keys
from tests.gateway.recorder import recorder
from tests.gateway.running import Caller, Gateway, start_gateway, upstream
from tests.loadtest.stub_server import MODEL, stub_server
from tests.waiting import wait_until

NOT_KNOWN, NOT_ALLOWED = (401, 16), (403, 7)
FOREVER = None


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One that asks for keys."""
    with stub_server() as stub:
        gateway = start_gateway(tmp_path_factory.mktemp("keys") / "state", upstream(stub), "--drain-timeout", "1")
        yield gateway
        gateway.stop()


@pytest.fixture
def store(gateway: Gateway) -> KeyStore:
    return KeyStore(AdmissionSettings(state=gateway.state).keys_file)


@pytest.fixture(params=["http", "grpc"])
def caller(gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Caller]:
    with gateway.callers() as (http, grpc):
        yield http if request.param == "http" else grpc


def status(caller: Caller, secret: str | None, model: str = MODEL) -> int:
    """0 for a good answer."""
    reply = caller.infer(model, headers={} if secret is None else {"x-api-key": secret})
    return 0 if reply.is_good else reply.status


def wait_for(caller: Caller, secret: str, wanted: tuple[int, ...]) -> None:
    wait_until(lambda: status(caller, secret) in wanted, f"a status of {wanted}")


def test_only_a_known_key_is_let_in_and_only_to_its_models(store: KeyStore, caller: Caller) -> None:
    _, secret = store.create("acme", (MODEL,))
    _, other = store.create("acme", ("digits",))
    wait_for(caller, secret, (0,))
    assert status(caller, None) in NOT_KNOWN
    assert status(caller, secret[:-1]) in NOT_KNOWN
    assert status(caller, secret.upper()) in NOT_KNOWN
    assert status(caller, "x" * 5000) in NOT_KNOWN
    assert status(caller, other) in NOT_ALLOWED
    assert status(caller, secret, "another") in NOT_ALLOWED


def test_a_bearer_token_is_a_key_too(store: KeyStore, caller: Caller) -> None:
    _, secret = store.create("acme", ("*",))
    wait_for(caller, secret, (0,))
    assert caller.infer(headers={"authorization": f"Bearer {secret}"}).is_good
    assert caller.infer(headers={"authorization": f"Basic {secret}"}).status in NOT_KNOWN


def test_health_needs_no_key_and_metadata_does(gateway: Gateway) -> None:
    import http.client

    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"))
    for path, wanted in (("/v2/health/ready", 200), ("/v2", 401), (f"/v2/models/{MODEL}", 401)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == wanted, path
    connection.close()


def test_a_revoked_key_stops_working_and_its_connection_goes_on(store: KeyStore, caller: Caller) -> None:
    key, secret = store.create("acme", ("*",))
    _, staying = store.create("acme", ("*",))
    wait_for(caller, staying, (0,))
    assert status(caller, secret) == 0
    assert store.revoke(key.id)
    # The caller holds one connection all the time: an HTTP one that was dropped would raise.
    wait_for(caller, secret, NOT_KNOWN)
    assert status(caller, staying) == 0
    assert not store.revoke(key.id)


def test_an_old_key_works_beside_the_new_one_until_its_grace_is_over(store: KeyStore, caller: Caller) -> None:
    old, old_secret = store.create("acme", (MODEL,))
    new, new_secret = store.rotate(old.id, grace_s=600)
    assert (new.tenant, new.models, new.expires_s) == ("acme", (MODEL,), FOREVER)
    wait_for(caller, new_secret, (0,))
    assert status(caller, old_secret) == 0
    brief, brief_secret = store.create("acme", (MODEL,))
    _, after_secret = store.rotate(brief.id, grace_s=1)
    wait_for(caller, brief_secret, NOT_ALLOWED)
    assert [status(caller, secret) for secret in (after_secret, new_secret, old_secret)] == [0, 0, 0]


def test_an_expired_key_is_refused(store: KeyStore, caller: Caller) -> None:
    _, secret = store.create("acme", ("*",), lifetime_s=0)
    wait_for(caller, secret, NOT_ALLOWED)
    reply = caller.infer(headers={"x-api-key": secret})
    assert (reply.is_good, "expired" in reply.text) == (False, True)


def test_no_key_is_written_down(store: KeyStore, gateway: Gateway, caller: Caller) -> None:
    key, secret = store.create("acme", ("*",))
    wait_for(caller, secret, (0,))
    path = AdmissionSettings(state=gateway.state).keys_file
    assert hashlib.sha256(secret.encode()).hexdigest() == key.digest
    wait_until(lambda: key.id in AdmissionSettings(state=gateway.state).requests_file.read_text(), "a metering line")
    for file in gateway.state.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_key_goes_no_further_than_the_gateway_and_who_calls_is_what_the_gateway_says(tmp_path: Path) -> None:
    store = KeyStore(AdmissionSettings(state=tmp_path).keys_file)
    key, secret = store.create("acme", ("*",))
    forged = {
        "x-maas-tenant": "other",
        "x-maas-side": "candidate",
        "X-MAAS-KIND": "probe",
        "x-maas-sequence-start": "1",
    }
    with recorder() as server:
        gateway = start_gateway(tmp_path, server.upstream, "--drain-timeout", "1")
        try:
            with gateway.callers() as (http, _), pytest.raises(json.JSONDecodeError):
                http.infer(headers={"x-api-key": secret, **forged})
        finally:
            gateway.stop()
    (headers,) = server.headers
    assert secret not in str(headers)
    named = {name: value for name, value in headers.items() if name.startswith("x-maas-")}
    assert named == {
        "x-maas-protocol": "http",
        "x-maas-kind": "infer",
        "x-maas-tenant": "acme",
        "x-maas-key": key.id,
        "x-maas-model": MODEL,
        "x-maas-items": "1",
    }


def run(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(keys, [*arguments, "--state", str(tmp_path)])


def test_the_life_of_a_key_on_the_command_line(tmp_path: Path) -> None:
    made = run(tmp_path, "create", "--tenant", "acme", "--models", "digits, echo", "--expires", "90d", "--json")
    document = json.loads(made.stdout)
    assert document["models"] == ["digits", "echo"]
    assert run(tmp_path, "limit", "acme", "--rate", "10", "--concurrency", "2").stdout == "acme: 10/s, 2 in flight\n"
    (listed,) = json.loads(run(tmp_path, "list", "--json").stdout)
    assert (listed["id"], listed["tenant"], listed["state"]) == (document["id"], "acme", "valid")
    assert listed["limits"] == {"rate": 10.0, "burst": None, "concurrency": 2}
    assert listed["expires_s"] == pytest.approx(time.time() + 90 * 86_400, abs=60)
    assert document["key"] not in run(tmp_path, "list").stdout
    rotated = json.loads(run(tmp_path, "rotate", document["id"], "--grace", "1h", "--json").stdout)
    assert rotated["key"] != document["key"]
    assert run(tmp_path, "revoke", document["id"]).stdout == f"{document['id']} is revoked\n"
    assert [key["id"] for key in json.loads(run(tmp_path, "list", "--json").stdout)] == [rotated["id"]]
    assert len(json.loads(run(tmp_path, "list", "--all", "--json").stdout)) == 2


def test_another_key_leaves_the_limits_of_its_tenant_as_they_are(tmp_path: Path) -> None:
    store = KeyStore(AdmissionSettings(state=tmp_path).keys_file)
    create = ("create", "--tenant", "acme", "--models", "*", "--json")
    assert run(tmp_path, *create, "--rate", "100").exit_code == 0
    assert run(tmp_path, *create, "--concurrency", "4", "--burst", "200").exit_code == 0
    assert store.tenants()["acme"] == Tenant("acme", 100.0, 200, 4)
    refused = run(tmp_path, "create", "--tenant", "new", "--models", "*", "--burst", "4")
    assert (refused.exit_code, "a burst without a rate" in refused.output) == (2, True)
    assert len(store.all_keys()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "--tenant", "a b", "--models", "x"], "'a b' cannot be a tenant's name"),
        (["create", "--tenant", "acme", "--models", "../x"], "'../x' cannot be a model's name"),
        (["create", "--tenant", "acme", "--models", "*,x"], "'*' is all models"),
        (["create", "--tenant", "acme", "--models", ","], "names no model"),
        (["create", "--tenant", "acme", "--models", "x", "--expires", "soon"], "'soon' is no duration"),
        (["revoke", "nobody"], "there is no key 'nobody'; `maas keys list` shows the ids"),
        (["rotate", "nobody"], "there is no key 'nobody'"),
        (["limit", "acme", "--burst", "5"], "acme would have a burst without a rate"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert (
        not AdmissionSettings(state=tmp_path).keys_file.exists()
        or not KeyStore(AdmissionSettings(state=tmp_path).keys_file).all_keys()
    )


def test_a_file_that_somebody_edited_is_told_with_its_line(tmp_path: Path) -> None:
    file = AdmissionSettings(state=tmp_path).keys_file
    KeyStore(file).create("acme", ("*",))
    file.write_text(file.read_text() + "key\tx\n")
    result = run(tmp_path, "list")
    assert (result.exit_code, f"line 3 of {file}" in result.output) == (2, True)
