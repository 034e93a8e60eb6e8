"""`maas serve` in a process of its own: what a user, a client and an operator see of it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import tritonclient.grpc as triton_grpc
from tests.server.serving import (
    Serving,
    ask,
    ask_until_answered,
    start_serving,
    stubs_of,
    write_model,
)
from tests.waiting import has_ended, wait_until
from tritonclient.utils import InferenceServerException

from maas_server.guard import SHARED_MEMORY

Serve = Callable[..., Serving]
Maas = Callable[..., subprocess.CompletedProcess[str]]
_WAITING = 'nv_inference_pending_request_count{model="double",version="1"} '
# So that callers of the other instance are answered while this one is replaced.
_LOADS_SLOWLY = """
    def initialize(self, args):
        time.sleep(2.0)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for the tests that leave it serving."""
    home = tmp_path_factory.mktemp("a home with blanks")
    for name, factor in (("double", 2), ("triple", 3), ("fourfold", 4)):
        more = _LOADS_SLOWLY if name == "fourfold" else ""
        write_model(home / "models", name, factor=factor, instances=2 if more else 1, more=more)
    write_model(home / "models", "broken", more="\nimport no_such_package\n")
    serving = start_serving(home / "models", home / "build")
    yield serving
    assert serving.stop() == 0


def _call(
    serving: Serving, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, str]:
    connection = http.client.HTTPConnection(serving.http.removeprefix("http://"), timeout=30)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_ready_tells_where_and_what(shared: Serving) -> None:
    ready = shared.ready
    assert ready["models"] == {"double": [1], "triple": [1], "fourfold": [1]}
    assert "no_such_package" in ready["failed"]["broken"]
    assert ready["http"].startswith("http://127.0.0.1:")
    assert ready["grpc"].startswith("grpc://127.0.0.1:")
    assert ready["pid"] == shared.process.pid
    assert psutil.Process(ready["triton_pid"]).name() == "tritonserver"
    assert ask(shared.http, "triple") == [0.0, 3.0]


def test_state_file_and_modes(shared: Serving) -> None:
    state = shared.state
    assert state["phase"] == "serving"
    assert state["models"]["double"] == [1]
    assert "no_such_package" in state["failed"]["broken"]
    token = shared.build / "state" / "serve" / "stable.token"
    assert token.stat().st_mode & 0o777 == 0o600
    regions = list(SHARED_MEMORY.glob(f"maas_{shared.process.pid}.*"))
    assert len(regions) >= 4
    wait_until(lambda: all(r.stat().st_mode & 0o777 == 0o600 for r in regions), "the shared memory is private")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/double/unload"),
        ("GET", "/v2/systemsharedmemory/status"),
        ("GET", "/v2/trace/setting"),
        ("GET", "/v2/logging"),
    ],
)
def test_the_inner_apis_want_the_token_over_http(shared: Serving, method: str, path: str) -> None:
    status, body = _call(shared, method, path)
    assert status == 403
    assert "restricted" in body
    assert _call(shared, method, path, {"maas-token": "guessed"})[0] == 403
    if "unload" not in path:
        assert _call(shared, method, path, {"maas-token": shared.token})[0] == 200


def test_the_inner_apis_want_the_token_over_grpc(shared: Serving) -> None:
    client = triton_grpc.InferenceServerClient(shared.ready["grpc"].removeprefix("grpc://"))
    with contextlib.closing(client):
        for call in (
            client.get_model_repository_index,
            client.get_system_shared_memory_status,
            client.get_trace_settings,
            client.get_log_settings,
        ):
            with pytest.raises(InferenceServerException, match="restricted"):
                call()
            call(headers={"triton-grpc-protocol-maas-token": shared.token})


def test_metrics_of_triton_and_of_the_supervisor_on_one_port(shared: Serving) -> None:
    ask(shared.http, "double")
    # A server that is busy for long is left out of the page for once.
    wait_until(lambda: 'nv_inference_request_success{model="double",version="1"}' in shared.metrics(), "Triton's own")
    text = shared.metrics()
    assert "maas_supervisor_restarts_total" in text
    assert "maas_supervisor_triton_up 1.0" in text
    assert "maas_supervisor_failed_models 1.0" in text


def test_a_killed_stub_is_replaced(shared: Serving) -> None:
    # Twice: the first time the model's compiled file, which Python adds, would make its folder newer by itself. And the
    # second time so early that nobody has seen the new stub alive.
    for deaths in (1, 2):
        stubs_of(shared.state["triton_pid"], "double_0_0")[0].kill()
        event = shared.event("stub_fault")
        assert (event["model"], event["fault"]) == ("double", "dead")
        assert event["instance"] in ("double_0_0", "unknown")
        assert shared.event("reloaded")["model"] == "double"
        assert ask(shared.http, "double") == [0.0, 2.0]
        assert shared.state["stub_deaths"]["double"] == deaths


def test_a_stopped_stub_is_replaced_and_its_caller_is_told(shared: Serving) -> None:
    with ThreadPoolExecutor() as pool:
        stub = stubs_of(shared.state["triton_pid"], "triple_0_0")[0]
        caught = pool.submit(ask, shared.http, "triple", (120.0, 1.0), 300.0)
        time.sleep(0.5)
        stub.suspend()
        assert shared.event("stub_fault")["fault"] == "stopped"
        assert shared.event("reloaded")["model"] == "triple"
        with pytest.raises(RuntimeError, match="not healthy"):
            caught.result(timeout=60)
    assert ask(shared.http, "triple") == [0.0, 3.0]
    wait_until(lambda: has_ended(stub.pid), "the stopped one ends")


def test_the_other_instance_serves_while_one_is_replaced(shared: Serving) -> None:
    stop, answers, told = threading.Event(), [], []

    def caller() -> None:
        while not stop.is_set():
            try:
                answers.append(ask(shared.http, "fourfold"))
            except RuntimeError as error:
                told.append(str(error))

    # The dead instance holds each request that it gets for a second: several callers, so that not all wait there.
    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    stubs_of(shared.state["triton_pid"], "fourfold_0_1")[0].kill()
    shared.event("stub_fault")
    before = len(answers)
    shared.event("reloaded")
    during = len(answers) - before
    stop.set()
    for thread in callers:
        thread.join()
    assert during > 0
    assert all(answer == [0.0, 4.0] for answer in answers)
    assert all("fourfold_0_1" in error and "not healthy" in error for error in told)


def test_what_a_replaced_model_held_is_given_back(serve: Serve, tmp_path: Path) -> None:
    """Triton itself never ends the other instances of a model one of whose stubs died with a request."""
    write_model(tmp_path / "models", "double", instances=2, max_batch_size=1)
    serving = serve(tmp_path / "models", "--drain-timeout", "1")
    first, second = psutil.Process(serving.ready["triton_pid"]).children()
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(ask, serving.http, "double", (3.0, 1.0)) for _ in range(4)]
        wait_until(lambda: f"{_WAITING}2" in serving.metrics(), "each instance has one, two wait")
        first.kill()
        serving.event("reloaded")
        failures = [call.exception() for call in calls if call.exception() is not None]
    assert failures, "no request met the dead stub: the case was not made"
    wait_until(lambda: has_ended(second.pid), "the other instance ends")
    regions = f"maas_{serving.process.pid}.*"
    wait_until(lambda: len(list(SHARED_MEMORY.glob(regions))) == 2, "the shared memory of two instances is left")
    assert ask(serving.http, "double") == [0.0, 2.0]


def test_a_killed_server_comes_back_with_the_same_models_and_addresses(shared: Serving) -> None:
    before = shared.state
    regions = set(SHARED_MEMORY.glob(f"maas_{shared.process.pid}.*"))
    os.kill(before["triton_pid"], signal.SIGKILL)
    assert shared.event("triton_ended")["how"] == "killed by SIGKILL"
    back = shared.event("triton_back")
    assert back["models"] == before["models"]
    assert ask(shared.http, "double") == [0.0, 2.0]
    after = shared.state
    assert after["triton_pid"] != before["triton_pid"]
    assert (after["http"], after["grpc"], after["models"]) == (before["http"], before["grpc"], before["models"])
    assert after["restarts"] == before["restarts"] + 1
    assert not regions & set(SHARED_MEMORY.glob(f"maas_{shared.process.pid}.*")), "leftovers of the killed server"


def test_a_request_that_ends_the_server_does_not_end_the_serving(serve: Serve, tmp_path: Path) -> None:
    """Triton 2.51 dies of JSON that is nested very deep."""
    write_model(tmp_path / "models", "double")
    serving = serve(tmp_path / "models")
    with pytest.raises((http.client.HTTPException, OSError)):
        _call(serving, "POST", "/v2/models/double/infer", body=b'{"inputs":' + b"[" * 2_000_000)
    assert serving.event("triton_ended")["how"] == "killed by SIGSEGV"
    assert ask_until_answered(serving.http, "double") == [0.0, 2.0]


def test_a_stopped_server_is_replaced(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    serving = serve(tmp_path / "models")
    psutil.Process(serving.ready["triton_pid"]).suspend()
    serving.event("triton_ended")
    assert ask_until_answered(serving.http, "double") == [0.0, 2.0]


def test_in_flight_is_answered_and_new_is_refused_when_it_stops(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double", max_batch_size=1)
    serving = serve(tmp_path / "models")
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(ask, serving.http, "double", (4.0, 1.0)) for _ in range(2)]
        wait_until(lambda: f"{_WAITING}1" in serving.metrics(), "one runs, one waits")
        serving.process.send_signal(signal.SIGTERM)
        serving.event("draining")
        wait_until(lambda: _refused(serving), "new requests are refused")
        assert not all(call.done() for call in calls), "they were answered before it stopped"
        assert [call.result() for call in calls] == [[8.0, 2.0]] * 2
    assert serving.event("stopped")["all_answered"]
    assert serving.process.wait(30) == 0
    assert not (serving.build / "state" / "serve" / "stable.json").exists()
    assert not (serving.build / "state" / "serve" / "stable.token").exists()


def _refused(serving: Serving) -> bool:
    try:
        ask(serving.http, "double", timeout_s=0.5)
    except TimeoutError:
        return False
    except (OSError, RuntimeError):
        return True
    return False


def test_a_second_signal_hurries(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double", max_batch_size=1)
    serving = serve(tmp_path / "models")
    with ThreadPoolExecutor() as pool:
        caught = [pool.submit(ask, serving.http, "double", (600.0, 1.0)) for _ in range(2)]
        wait_until(lambda: f"{_WAITING}1" in serving.metrics(), "one runs, one waits")
        serving.process.send_signal(signal.SIGTERM)
        serving.event("draining")
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(30) == 0
        for request in caught:
            with pytest.raises((OSError, http.client.HTTPException, RuntimeError)):
                request.result()


def test_it_stops_when_its_stdin_closes(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    serving = serve(tmp_path / "models", "--stop-on-eof", stdin=subprocess.PIPE)
    assert serving.process.stdin is not None
    serving.process.stdin.close()
    assert serving.process.wait(30) == 0
    assert not psutil.pid_exists(serving.ready["triton_pid"])


def test_new_versions_and_models_are_taken_over_with_watch(serve: Serve, tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "double")
    serving = serve(models, "--watch")
    staged = write_model(tmp_path / "staged", "double", factor=20, version=2)
    staged.rename(models / "double" / "2")
    assert serving.event("changed")["version"] == 2
    wait_until(lambda: ask_until_answered(serving.http, "double") == [0.0, 20.0], "version 2 serves")
    write_model(tmp_path / "staged", "triple", factor=3)
    (tmp_path / "staged" / "triple").rename(models / "triple")
    assert serving.event("changed")["model"] == "triple"
    assert ask_until_answered(serving.http, "triple") == [0.0, 3.0]
    (models / "triple" / "config.pbtxt").write_text("max_batch_sise: 1\n")
    assert "max_batch_sise" in serving.event("load_failed")["reason"]
    assert ask(serving.http, "double") == [0.0, 20.0]


def test_a_config_that_cannot_be_read_leaves_the_others_serving(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    write_model(tmp_path / "models", "misspelt")
    (tmp_path / "models" / "misspelt" / "config.pbtxt").write_text("max_batch_sise: 1\n")
    serving = serve(tmp_path / "models")
    assert "max_batch_sise" in serving.ready["failed"]["misspelt"]
    assert ask(serving.http, "double") == [0.0, 2.0]


def test_a_model_that_kills_the_server_is_left_out_when_it_did_so_twice_alone(serve: Serve, tmp_path: Path) -> None:
    """It kills its server while it is loaded, which the server's own process does not survive."""
    write_model(tmp_path / "models", "double")
    write_model(tmp_path / "models", "poison", more=f"\nimport os\nos.kill(os.getppid(), {int(signal.SIGKILL)})\n")
    write_model(tmp_path / "models", "triple", factor=3)
    serving = serve(tmp_path / "models")
    assert set(serving.ready["models"]) == {"double", "triple"}
    assert "twice in a row the server ended" in serving.ready["failed"]["poison"]
    assert serving.state["restarts"] == 4
    assert ask(serving.http, "triple") == [0.0, 3.0]


_NEVER_LOADS_THE_FIRST_TIME = """
    def initialize(self, args):
        import pathlib
        marker = pathlib.Path({marker!r})
        if not marker.exists():
            marker.touch()
            time.sleep(600)
"""


def test_a_model_that_did_not_load_in_time_once_gets_a_second_chance(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    slow = _NEVER_LOADS_THE_FIRST_TIME.format(marker=str(tmp_path / "marker"))
    write_model(tmp_path / "models", "triple", factor=3, more=slow)
    serving = serve(tmp_path / "models", "--load-timeout", "10")
    assert serving.ready["models"] == {"double": [1], "triple": [1]}
    assert serving.ready["failed"] == {}
    told = [event["models"] for event in serving.passed if event["event"] == "start_timed_out"]
    assert told == [["triple"]]
    assert ask(serving.http, "triple") == [0.0, 3.0]


_DIES_AFTER_A_SECOND = """
    def initialize(self, args):
        import os, threading
        threading.Timer(1.0, os._exit, [1]).start()
"""


def test_a_model_whose_stub_keeps_dying_is_left_out_and_named(serve: Serve, maas: Maas, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    write_model(tmp_path / "models", "mortal", more=_DIES_AFTER_A_SECOND)
    serving = serve(tmp_path / "models")
    left_out = serving.event("left_out")
    assert left_out["model"] == "mortal"
    # It is told before it is done.
    wait_until(lambda: "mortal" in serving.state["failed"], "it is served no more")
    assert serving.state["stub_deaths"]["mortal"] == 3
    assert ask(serving.http, "double") == [0.0, 2.0]
    with pytest.raises(RuntimeError, match="unknown model"):
        ask(serving.http, "mortal")
    explained = maas("explain", "mortal", "--repository", tmp_path / "models", build=serving.build)
    assert explained.returncode == 1
    assert "mortal 1 loads" in explained.stdout
    assert "the running server of view 'stable' does not serve it: its process ended soon after" in explained.stdout


def test_listening_for_others_says_what_it_opens(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path / "models", "double")
    serving = start_serving(tmp_path / "models", tmp_path / "build", "--listen", "0.0.0.0")  # noqa: S104 - what is tested
    try:
        server = psutil.Process(serving.ready["triton_pid"])
        open_to_all = {c.laddr.port for c in server.net_connections("inet") if c.laddr.ip in ("0.0.0.0", "::")}  # noqa: S104 - compared with
        ports = {int(serving.ready[name].rpartition(":")[2]) for name in ("http", "grpc")}
        assert open_to_all == ports
    finally:
        assert serving.stop() == 0


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [
        (["--repository", "nowhere"], "there is no model repository at nowhere", 2),
        (["--models", "none_such"], "none_such", 2),
        (["--view", "../x"], "cannot be a model's name", 2),
        (["--listen", "localhost"], "'localhost' is not an IPv4 address", 2),
        (["--tritonserver", "/no/such/tritonserver"], "/no/such/tritonserver is not an executable file", 1),
    ],
)
def test_wrong_use_is_one_line(maas: Maas, tmp_path: Path, options: list[str], words: str, code: int) -> None:
    write_model(tmp_path / "models", "double")
    given = [] if "--repository" in options else ["--repository", str(tmp_path / "models")]
    done = maas("serve", *given, *options)
    assert done.returncode == code
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
