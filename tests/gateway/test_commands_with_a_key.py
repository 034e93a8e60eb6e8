"""The commands that call a server, called on a gateway that asks for keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_client import AuthenticationError, Client
from maas_core.serving import serve
from maas_gateway.admission_settings import AdmissionSettings
from maas_gateway.key_store import KeyStore
from tests.conftest import ROOT, Journey, Maas
from tests.gateway.running import Gateway, start_gateway, upstream
from tests.waiting import STOOD_STILL_S, longest_standstill, wait_until

_DIGIT = ROOT / "examples" / "digits" / "3_thick_marker.png"
_LOAD = ("load", "run", "steady", "--model", "digits_cnn", "--rate", "20", "--duration", "2s", "--warmup", "0s")
COMMANDS = {
    "predict": ("predict", "digits", str(_DIGIT)),
    "bench": ("bench", "digits_cnn", "--seconds", "0.2", "--warmup", "0", "--concurrency", "2"),
    "evaluate": ("evaluate", "digits", "--limit", "5"),
    "verify": ("verify", "BUNDLE"),
    "load": (*_LOAD, "--repository", "REPOSITORY"),
}


@pytest.fixture(scope="module")
def gateway(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with serve(journey.repository, view="with_a_key", models=["digits"]) as served:
        gateway = start_gateway(tmp_path_factory.mktemp("keys") / "state", upstream(served), "--drain-timeout", "1")
        yield gateway
        gateway.stop()


@pytest.fixture(scope="module")
def key(gateway: Gateway) -> str:
    models = ("digits", "digits_cnn")
    _, secret = KeyStore(AdmissionSettings(state=gateway.state).keys_file).create("shop", models)

    def is_let_in() -> bool:
        with Client(gateway.url, api_key=secret) as client, contextlib.suppress(AuthenticationError):
            client.describe("digits")
            return True
        return False

    wait_until(is_let_in, "the key is known")
    return secret


def command(name: str, journey: Journey) -> list[str]:
    paths = {"BUNDLE": journey.bundle("digits_cnn"), "REPOSITORY": journey.repository}
    return [str(paths.get(part, part)) for part in COMMANDS[name]]


# Whoever has a client of its own for each protocol is tried over both.
@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("predict", "http"),
        ("bench", "grpc"),
        ("evaluate", "grpc"),
        ("verify", "http"),
        ("load", "http"),
        ("load", "grpc"),
    ],
)
def test_the_key_of_the_environment_is_sent(
    name: str,
    protocol: str,
    gateway: Gateway,
    key: str,
    journey: Journey,
    maas: Maas,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("MAAS_API_KEY", key)
    url = gateway.url if protocol == "http" else gateway.grpc
    build = journey.build if name == "verify" else tmp_path
    with longest_standstill() as still_s:
        process = maas(*command(name, journey), "--url", url, build=build)
    if process.returncode and still_s[0] > STOOD_STILL_S:
        # Triton fails what it is asked then, and until the model is loaded anew.
        asked = (*command("predict", journey), "--url", url)
        wait_until(lambda: maas(*asked, build=build).returncode == 0, "the model answers again")
        process = maas(*command(name, journey), "--url", url, build=build)
    # Two seconds of load on a busy machine may say nothing; they were answered.
    assert process.returncode in ((0, 4) if name == "load" else (0,)), process.stderr
    assert key not in process.stdout + process.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_without_a_key_one_line_says_how_to_give_it(
    name: str, gateway: Gateway, journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    build = journey.build if name == "verify" else tmp_path
    process = maas(*command(name, journey), "--url", gateway.url, build=build)
    assert process.returncode == 2, process.stderr
    assert process.stderr.count("\n") == 1, process.stderr
    assert "needs an API key" in process.stderr
    assert "--api-key, or set MAAS_API_KEY" in process.stderr
