"""Tensors through shared memory: a real server that allows it, one that does not, callers that die."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maas_client import Client, DeadlineExceededError, RefusedValueError, _regions, _shared_memory
from tests.client.repository import tensor, write_model
from tests.client.ways import open_client
from tests.waiting import wait_until

SHARED = "system_shared_memory"

_MODEL = '''
import os
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """y = x after x[0, 0] seconds, where that is above 0, or when it is let go."""

    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(request, "x")) for request in requests]

    def _answer(self, x):
        array = x.as_numpy()
        duration_s = float(array.ravel()[0]) if array.dtype != object else 0
        if duration_s > 0:
            open(SIGNALS + "/begun", "w").close()
        until = time.monotonic() + duration_s
        while time.monotonic() < until and not os.path.exists(SIGNALS + "/let go"):
            time.sleep(0.005)
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", array)])
'''


@pytest.fixture(scope="module")
def signals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the model says that it has begun, and is told to come to an end: at once, but in `held`."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "let go").touch()
    return folder


@contextlib.contextmanager
def held(signals: Path) -> Iterator[Path]:
    """A request for 60 seconds ends when the file that this gives is there, at the latest where the block ends."""
    let_go = signals / "let go"
    (signals / "begun").unlink(missing_ok=True)
    let_go.unlink()
    try:
        yield let_go
    finally:
        let_go.touch()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that close wait for a Triton that is slow to release its requests."""
    monkeypatch.setattr(_shared_memory, "_CLOSE_S", 30.0)
    monkeypatch.setattr(_shared_memory, "_IN_USE_PAUSES_S", (0.05,) * 500)


@pytest.fixture(scope="module")
def server(module_triton_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory, signals: Path) -> Any:
    folder = tmp_path_factory.mktemp("shared") / "repository"
    for name, datatype, dims in (("fixed", "FP32", "[1000]"), ("open", "FP32", "[-1]"), ("texts", "BYTES", "[2]")):
        tensors = tensor("input", "x", datatype, dims) + tensor("output", "y", datatype, dims)
        write_model(folder, name, f"max_batch_size: 64\n{tensors}", f"SIGNALS = {str(signals)!r}\n{_MODEL}")
    return module_triton_server(folder, allow_shared_memory=True)


@pytest.fixture
def url(server: Any, way: str) -> str:
    protocol = way.removesuffix("-async")
    return f"{protocol}://{server.http_url if protocol == 'http' else server.grpc_url}"


@pytest.fixture
def client(way: str, url: str) -> Iterator[Any]:
    with open_client(way, url, timeout_s=30) as client:
        yield client


def rows(count: int, seed: int = 0) -> Any:
    return -np.random.default_rng(seed).random((count, 1000), np.float32) - 1


def own_regions(pid: int | None = None) -> list[str]:
    return [path.name for path in Path("/dev/shm").glob(f"maas_client_{pid or os.getpid()}.*")]  # noqa: S108


def registered(server: Any) -> list[str]:
    with urllib.request.urlopen(f"http://{server.http_url}/v2/systemsharedmemory/status", timeout=10) as answer:
        return [region["name"] for region in json.load(answer)]


def forget_all(server: Any) -> None:
    """Triton answers before it is done with a request, and until then it refuses."""
    for _ in range(100):
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://{server.http_url}/v2/systemsharedmemory/unregister", b"", 10).close()
            return
        time.sleep(0.1)
    pytest.fail("the server is still using its regions after ten seconds")


@contextlib.contextmanager
def request_that_uses(server: Any, region: str, signals: Path) -> Iterator[Path]:
    """Lets somebody else's request read its input in this region until the file that this gives is there."""
    x = rows(1)
    x[0, 0] = 60
    with Path("/dev/shm", region).open("r+b") as file:  # noqa: S108
        file.seek(_regions.HEADER_BYTES)
        file.write(x.tobytes())
    where = {"shared_memory_region": region, "shared_memory_offset": _regions.HEADER_BYTES}
    given = {"name": "x", "shape": x.shape, "datatype": "FP32"}
    body = json.dumps({"inputs": [given | {"parameters": where | {"shared_memory_byte_size": x.nbytes}}]}).encode()
    caller = threading.Thread(
        target=lambda: urllib.request.urlopen(f"http://{server.http_url}/v2/models/open/infer", body, 30).close()
    )
    with held(signals) as let_go:
        caller.start()
        wait_until((signals / "begun").exists, "the request has begun")
        yield let_go
    caller.join(30)


def test_answers_are_the_same_and_keep_their_values(client: Any) -> None:
    first, second = rows(4, 1), rows(4, 2)
    answer = client.infer("fixed", x=first, via=SHARED)
    np.testing.assert_array_equal(client.infer("fixed", x=second, via=SHARED)["y"], second)
    np.testing.assert_array_equal(answer["y"], first)
    answer["y"][:] = 0
    assert (answer.model_name, answer.model_version, answer.timing.attempts) == ("fixed", 1, 1)


def test_outputs_of_unknown_size_and_texts_come_over_the_network(client: Any) -> None:
    np.testing.assert_array_equal(client.infer("open", x=rows(3), via=SHARED)["y"], rows(3))
    texts = [["a", "tökén"], ["", "b\0"]]
    assert client.infer("texts", x=texts, via=SHARED).text("y").tolist() == texts


def test_a_region_is_used_again_and_all_are_removed_at_the_end(way: str, url: str, server: Any) -> None:
    # What a client before could not take back, e.g. because its last call ran out of time, is none of this one's.
    others = set(registered(server))
    with open_client(way, url, timeout_s=30) as client:
        for count in (4, 4, 3, 1):
            client.infer("fixed", x=rows(count), via=SHARED)
            assert len(own_regions()) == 1
        assert set(registered(server)) - others == set(own_regions())
        small = own_regions()
        client.infer("fixed", x=rows(64), via=SHARED)
        assert len(own_regions()) == 1
        assert own_regions() != small
    assert own_regions() == []
    assert set(registered(server)) <= others


def test_a_region_that_the_server_is_still_using_is_forgotten_when_the_client_closes(
    way: str, url: str, server: Any, signals: Path
) -> None:
    with open_client(way, url, timeout_s=30) as client:
        client.infer("fixed", x=rows(1), via=SHARED)
        (name,) = own_regions()
        assert name in registered(server)
        with request_that_uses(server, name, signals) as let_go:
            timer = threading.Timer(0.02, let_go.touch)
            timer.start()
            client.close()
            timer.join()
            assert name not in registered(server)
    assert own_regions() == []


def test_a_larger_region_is_made_while_the_server_is_using_the_small_one(
    way: str, url: str, server: Any, signals: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "maas_client"), open_client(way, url, timeout_s=30) as client:
        client.infer("fixed", x=rows(1), via=SHARED)
        (small,) = own_regions()
        with request_that_uses(server, small, signals):
            np.testing.assert_array_equal(client.infer("fixed", x=rows(64), via=SHARED)["y"], rows(64))
            assert small in registered(server)
            (large,) = own_regions()
            assert large in registered(server)
    assert not caplog.records
    assert not {small, large} & set(registered(server))


def test_a_large_batch_is_split_over_regions(client: Any) -> None:
    np.testing.assert_array_equal(client.infer("fixed", x=rows(200), via=SHARED, split=True)["y"], rows(200))


def test_a_server_that_forgot_the_region_is_told_of_a_new_one(client: Any, server: Any) -> None:
    client.infer("fixed", x=rows(1), via=SHARED)
    forget_all(server)
    np.testing.assert_array_equal(client.infer("fixed", x=rows(2), via=SHARED)["y"], rows(2))
    assert len(own_regions()) == 1


def test_a_region_that_the_server_may_still_write_into_is_not_used_again(client: Any, signals: Path) -> None:
    client.infer("fixed", x=rows(1), via=SHARED)
    before = len(own_regions())
    slow = rows(1)
    slow[0, 0] = 60
    with held(signals), pytest.raises(DeadlineExceededError):
        client.infer("fixed", x=slow, via=SHARED, timeout_s=0.2)
    np.testing.assert_array_equal(client.infer("fixed", x=rows(1), via=SHARED)["y"], rows(1))
    assert len(own_regions()) == before + 1
    for path in Path("/dev/shm").glob(f"maas_client_{os.getpid()}.*"):  # noqa: S108
        path.unlink()  # ten minutes after this process the next client would


def test_many_threads_do_not_mix_their_answers(url: str) -> None:
    wrong: list[int] = []
    with Client(url, timeout_s=60) as client:

        def work(seed: int) -> None:
            for number in range(10):
                mine = rows(2, seed * 100 + number)
                if not np.array_equal(client.infer("fixed", x=mine, via=SHARED)["y"], mine):
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert 1 <= len(own_regions()) <= 6
    assert not wrong
    assert own_regions() == []


def test_a_server_that_refuses_is_told_once_and_called_over_the_network(
    urls: dict[str, str], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "maas_client"),
        open_client(way, urls[way.removesuffix("-async")], timeout_s=30) as client,
    ):
        for _ in range(3):
            answer = client.infer("small", x=[[[1, 2, 3]]], via=SHARED)
            assert answer["y"].tolist() == [[[1, 2, 3]]]
            assert answer.timing.attempts == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert "no shared memory, tensors go over the network" in line
    assert "restricted" in line
    assert own_regions() == []


def test_a_machine_without_shared_memory_uses_the_network(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_regions, "SHARED_MEMORY", tmp_path / "none")
    np.testing.assert_array_equal(client.infer("fixed", x=rows(1), via=SHARED)["y"], rows(1))
    assert "no shared memory" in caplog.text


def test_another_way_is_refused(client: Any) -> None:
    with pytest.raises(RefusedValueError, match="via is 'system_shared_memory' or None, got 'cuda'"):
        client.infer("fixed", x=rows(1), via="cuda")


_CALLER = """
import os, sys, threading, time, numpy as np
from pathlib import Path
from maas_client import Client
url, how, signals = sys.argv[1:]
client = Client(url)
x = np.full((1, 1000), -1, np.float32)
client.infer("fixed", x=x, via="system_shared_memory")
if how == "busy":
    x[0, 0] = 60
    call = dict(x=x, via="system_shared_memory")
    busy = threading.Thread(target=client.infer, args=("fixed",), kwargs=call, daemon=True)
    busy.start()
    while busy.is_alive() and not Path(signals, "begun").exists():
        time.sleep(0.02)
(region,) = Path("/dev/shm").glob(f"maas_client_{os.getpid()}.*")
print(region.name, flush=True)
if how != "leave":
    sys.stdin.read()
"""


def call_and_die(url: str, how: str, signals: Path) -> tuple[int, str]:
    """The process that is gone, and its region, told by itself: what it left, any other process may remove."""
    caller = subprocess.Popen(
        [sys.executable, "-c", _CALLER, url, how, str(signals)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert caller.stdout is not None
    name = caller.stdout.readline().strip()
    assert name
    if how != "leave":
        caller.send_signal(signal.SIGKILL)
    caller.communicate(timeout=60)
    return caller.pid, name


def test_what_a_killed_caller_left_is_removed_by_the_next_one(way: str, url: str, server: Any, signals: Path) -> None:
    pid, name = call_and_die(url, "wait", signals)
    assert name in registered(server)
    with open_client(way, url, timeout_s=30) as client:
        client.infer("fixed", x=rows(1), via=SHARED)
        assert own_regions(pid) == []
    assert name not in registered(server)


def test_a_region_that_a_killed_caller_was_using_is_left_alone(server: Any, signals: Path) -> None:
    url = f"grpc://{server.grpc_url}"
    with held(signals), Client(url, timeout_s=30) as client:
        pid, name = call_and_die(url, "busy", signals)
        client.infer("open", x=rows(1), via=SHARED)
        assert own_regions(pid) == [name]
        assert name in registered(server)
    Path("/dev/shm", name).unlink()  # noqa: S108  # ten minutes later the next client would


def test_a_caller_that_never_closed_leaves_no_name(url: str, way: str, server: Any, signals: Path) -> None:
    pid, _ = call_and_die(url, "leave", signals)
    assert own_regions(pid) == []
    with open_client(way, url, timeout_s=30) as client:
        client.infer("fixed", x=rows(1), via=SHARED)
        assert not [name for name in registered(server) if f"_{pid}." in name]


def test_a_forked_child_has_regions_of_its_own(url: str) -> None:
    with Client(url, timeout_s=30) as client:
        client.infer("fixed", x=rows(1), via=SHARED)
        mine = own_regions()
        if url.startswith("http"):
            child = os.fork()
            if child == 0:
                right = np.array_equal(client.infer("fixed", x=rows(2), via=SHARED)["y"], rows(2))
                count = len(own_regions())
                client.close()
                os._exit(0 if right and count == 1 and not own_regions() else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert own_regions() == mine
        np.testing.assert_array_equal(client.infer("fixed", x=rows(1), via=SHARED)["y"], rows(1))
