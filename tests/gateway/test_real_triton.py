"""The gateway in front of real servers: `maas serve --gateway`, and sequences whose state two servers hold."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from maas_client import Client
from maas_core.serving import serve
from maas_gateway.routing import Routing, Split, Upstream
from tests.conftest import Maas
from tests.gateway.running import Gateway, running_gateway, upstream
from tests.server.serving import Serving, start_serving
from tests.soak.models import tiny_answer, write_models

X = np.array([[1, 2, 3, 4]], np.float32)
STOP_TIMEOUT_S = 90.0
WITH_GATEWAY = ("--models", "tiny", "--gateway", "--gateway-port", "0", "--no-keys")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    write_models(folder)
    return folder


@pytest.fixture(scope="module")
def serving(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = start_serving(repository, tmp_path_factory.mktemp("a build"), *WITH_GATEWAY)
    try:
        yield serving
    finally:
        serving.stop(STOP_TIMEOUT_S)


def urls(serving: Serving) -> tuple[str, str]:
    url = str(serving.ready["gateway"])
    return url, url.replace("http", "grpc")


def gateway_pid(serving: Serving) -> int:
    return int(json.loads((serving.build / "gateway" / "gateway.json").read_text())["pid"])


def test_serve_starts_a_gateway_that_answers_as_the_server_does(serving: Serving) -> None:
    for url in urls(serving):
        with Client(url) as client:
            np.testing.assert_array_equal(client.infer("tiny", x=X)["y"], tiny_answer(X))
            assert client.is_ready()


def test_callers_of_the_gateway_get_over_the_end_of_the_server(serving: Serving) -> None:
    os.kill(serving.ready["triton_pid"], signal.SIGKILL)
    serving.event("triton_back")
    for url in urls(serving):
        with Client(url) as client:
            np.testing.assert_array_equal(client.infer("tiny", x=X, timeout_s=30)["y"], tiny_answer(X))


def test_a_gateway_that_is_killed_comes_back_at_the_same_address(serving: Serving) -> None:
    os.kill(gateway_pid(serving), signal.SIGKILL)
    serving.event("gateway_ended")
    assert serving.event("gateway_ready")["url"] == serving.ready["gateway"]
    for url in urls(serving):
        with Client(url) as client:
            np.testing.assert_array_equal(client.infer("tiny", x=X, timeout_s=30)["y"], tiny_answer(X))


def test_a_gateway_that_cannot_start_is_told_in_one_line(repository: Path, serving: Serving, maas: Maas) -> None:
    port = urls(serving)[0].rpartition(":")[2]
    ports = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
    process = maas("serve", "--repository", repository, "--models", "tiny", *ports, "--gateway", "--gateway-port", port)
    assert process.returncode == 1
    assert f"the gateway did not start: gateway port {port}" in process.stderr
    assert process.stderr.count("\n") == 1, process.stderr


def test_a_stop_ends_both_and_leaves_nothing_running(serving: Serving) -> None:
    gateway = psutil.Process(gateway_pid(serving))
    processes = [gateway, *gateway.children(recursive=True)]
    assert "envoy" in {process.name() for process in processes}
    assert serving.stop(STOP_TIMEOUT_S) == 0
    serving.event("gateway_stopped")
    assert serving.event("stopped")["all_answered"] is True
    assert not psutil.wait_procs(processes, 30)[1]


@pytest.fixture
def two(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Gateway, Upstream, Upstream]]:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))
    with (
        serve(repository, view="stable", models=["running_sum"]) as stable,
        serve(repository, view="candidate", models=["running_sum"]) as candidate,
        running_gateway(tmp_path / "state", upstream(stable)) as gateway,
    ):
        yield gateway, upstream(stable), upstream(candidate)


def test_sequences_keep_their_state_while_weights_change(two: tuple[Gateway, Upstream, Upstream]) -> None:
    gateway, stable, candidate = two
    sums: dict[int, float] = {}
    with Client(gateway.url) as http, Client(gateway.grpc) as grpc:
        sequences = [client.sequence("running_sum", sequence_id=n) for n, client in enumerate([http, grpc] * 10, 1)]
        for turn, percent in enumerate((0, 50, 100, 30, 0)):
            split = Split(candidate_percent=percent, mirror_percent=100)
            gateway.route(Routing(stable=stable, candidate=candidate, splits={"running_sum": split}))
            # Some begin now, some have begun before.
            for number, sequence in enumerate(sequences[: 4 * (turn + 1)]):
                value = float(number + turn)
                sums[number] = sums.get(number, 0.0) + value
                answer = sequence.infer(x=np.array([[value]], np.float32))
                assert answer["y"].item() == sums[number], (percent, number)
        for sequence in sequences:
            sequence.end()
