"""`maas gateway` as a process: starting, being killed, stopping, and being told wrong things."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from maas_core.errors import NotReachable, WrongUse
from maas_gateway.envoy_process import envoy_path, validate
from maas_gateway.routing import read_revision, wait_applied
from tests.conftest import Maas
from tests.gateway.running import Gateway, HttpCaller, frozen, running_gateway, start_gateway, upstream
from tests.loadtest.stub_server import Stub, stub_server
from tests.waiting import has_ended, wait_until

HERE = ("--stable-http", "127.0.0.1:9", "--stable-grpc", "127.0.0.1:9", "--port", "0")


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, stub: Stub) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway") / "state", upstream(stub)) as gateway:
        yield gateway


def test_envoy_is_started_again_on_the_same_address(shared: Gateway) -> None:
    for _ in range(2):
        os.kill(shared.ready["envoy_pid"], signal.SIGKILL)
        shared.ready["envoy_pid"] = shared.event("envoy_back")["envoy_pid"]
        assert HttpCaller(shared.url).infer().is_good


def test_envoy_dies_with_a_gateway_that_is_killed(state: Path, stub: Stub) -> None:
    gateway = start_gateway(state, upstream(stub), "--no-keys")
    gateway.process.kill()
    gateway.process.wait()
    wait_until(lambda: has_ended(gateway.ready["envoy_pid"]), "Envoy's end")
    with pytest.raises(NotReachable, match="is gone"):
        wait_applied(state, 1)
    # And what it left does not hold the next one up, which knows the servers from the routing.
    with running_gateway(state, None) as again:
        assert HttpCaller(again.url).infer().is_good


def test_it_stops_when_its_parent_closes_stdin_and_leaves_nothing_running(state: Path, stub: Stub) -> None:
    gateway = start_gateway(state, upstream(stub), "--no-keys", "--stop-on-eof", stdin=subprocess.PIPE)
    assert gateway.process.stdin is not None
    gateway.process.stdin.close()
    assert gateway.process.wait(30) == 0
    assert has_ended(gateway.ready["envoy_pid"])
    assert not (state / "gateway.json").exists()


def test_a_stop_answers_what_is_in_flight_and_then_refuses(state: Path) -> None:
    with stub_server() as slow:
        gateway = start_gateway(state, upstream(slow), "--no-keys", "--drain-timeout", "120")
        with gateway.callers() as callers, ThreadPoolExecutor() as pool:
            with frozen(slow.pid):
                asked = [pool.submit(caller.infer) for caller in callers]
                wait_until(lambda: gateway.in_flight() == 2, "the slow server has both requests")
                gateway.process.send_signal(signal.SIGTERM)
                wait_until(lambda: not listens(gateway), "no new connections")
                assert not any(request.done() for request in asked)
            replies = [request.result() for request in asked]
        assert [reply.is_good for reply in replies] == [True, True], replies
        assert gateway.event("stopped")["all_answered"] is True
        assert gateway.process.wait(30) == 0


def listens(gateway: Gateway) -> bool:
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_a_second_signal_hurries(state: Path) -> None:
    with stub_server() as slow:
        gateway = start_gateway(state, upstream(slow), "--no-keys", "--drain-timeout", "120")
        with gateway.callers() as (http, _), ThreadPoolExecutor() as pool, frozen(slow.pid):
            pool.submit(http.infer)
            wait_until(lambda: gateway.in_flight() == 1, "the slow server has the request")
            gateway.process.send_signal(signal.SIGTERM)
            gateway.event("draining")
            gateway.process.send_signal(signal.SIGTERM)
            assert gateway.event("stopped")["all_answered"] is False
            assert gateway.process.wait(30) == 0


def test_a_stop_promises_nothing_that_envoy_does_not_say(state: Path, stub: Stub) -> None:
    gateway = start_gateway(state, upstream(stub), "--no-keys", "--drain-timeout", "1")
    envoy = gateway.ready["envoy_pid"]
    os.kill(envoy, signal.SIGSTOP)
    gateway.process.send_signal(signal.SIGTERM)
    assert gateway.event("stopped")["all_answered"] is False
    assert gateway.process.wait(30) == 0
    assert has_ended(envoy)


def test_wait_applied_says_when_nobody_serves(tmp_path: Path) -> None:
    with pytest.raises(NotReachable, match="no gateway runs"):
        wait_applied(tmp_path, 1)


def test_what_is_served_may_be_asked_of_envoy_but_nobody_may_end_it(shared: Gateway) -> None:
    wait_applied(shared.state, read_revision(shared.state))
    with pytest.raises(NotReachable, match="does not serve revision 99"):
        wait_applied(shared.state, 99, timeout_s=0.3)
    admin = http.client.HTTPConnection(shared.ready["admin"].removeprefix("http://"), timeout=10)
    for path in ("/quitquitquit", "/runtime_modify?a=b", "/logging?level=trace", "/cpuprofiler?enable=y"):
        admin.request("POST", path)
        answer = admin.getresponse()
        answer.read()
        assert answer.status == 403, path
    assert HttpCaller(shared.url).infer().is_good


def refused(maas: Maas, *arguments: str | Path, exit_code: int = 2) -> str:
    """What the one line says."""
    process = maas("gateway", *arguments, timeout_s=60)
    assert process.returncode == exit_code, process.stderr
    assert process.stderr.count("\n") == 1, process.stderr
    return process.stderr


def test_wrong_use_is_refused_in_one_line(maas: Maas, tmp_path: Path) -> None:
    assert "give --stable-http and --stable-grpc" in refused(maas, "--port", "0")
    assert "go together" in refused(maas, "--stable-http", "127.0.0.1:8000")
    assert "HOST:PORT" in refused(maas, "--stable-http", "http://a:1", "--stable-grpc", "a:2")
    assert "--tls-cert and --tls-key go together" in refused(maas, *HERE, "--tls-cert", tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "routing.json").write_text("{}")
    assert "is not a routing" in refused(maas, "--state", tmp_path / "state", "--port", "0")


def test_a_taken_port_and_a_taken_folder_are_refused_in_one_line(maas: Maas, shared: Gateway) -> None:
    port = shared.url.rpartition(":")[2]
    said = refused(maas, *HERE[:4], "--port", port)
    assert f"port {port} on 127.0.0.1 cannot be used" in said
    assert "another port with --port" in said
    assert "runs over" in refused(maas, *HERE, "--state", shared.state)


def test_an_envoy_that_cannot_run_is_told_in_one_line(
    maas: Maas, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAAS_ENVOY", str(tmp_path / "envoy"))
    assert "is no program" in refused(maas, *HERE)
    monkeypatch.setenv("MAAS_ENVOY", "/bin/false")
    assert "Envoy refuses its configuration" in refused(maas, *HERE)


def test_what_envoy_says_of_a_wrong_configuration_is_passed_on(tmp_path: Path) -> None:
    wrong = tmp_path / "a file.json"
    wrong.write_text('{"static_resources": {"listeners": [{"name": "x", "adress": {}}]}}')
    with pytest.raises(WrongUse, match="adress"):
        validate(envoy_path(), wrong)
