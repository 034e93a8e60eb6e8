"""When a region of shared memory may be used again: a server that is not there, so that each failure can be told."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maas_client import (
    Client,
    ConnectionLostError,
    InternalServerError,
    InvalidRequestError,
    MaasClientError,
    Retry,
    UnavailableError,
    _regions,
    _shared_memory,
)
from maas_client._calls import Answer, Call, InferCall, RegionsCall, RegisterCall, UnregisterCall
from maas_client._deadline import Deadline
from maas_client._forks import ForkSafeLock
from maas_client.testing import FakeTransport

SHARED: Any = "system_shared_memory"
LOST = ConnectionLostError("lost")
BUSY = UnavailableError("m answered 503: Exceeds maximum queue size")
PROXY = UnavailableError("m answered 502: <html>bad gateway</html>")


class SharingServer(FakeTransport):
    """A fake that reads and answers from shared memory."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: set[str] = set()
        self.refusals: list[MaasClientError] = []
        self.model("m", inputs={"x": ("FP32", [2])}, outputs={"y": ("FP32", [2])})

    def outcome(self, call: Call, deadline: Deadline) -> tuple[float, Answer | MaasClientError]:
        if isinstance(call, RegionsCall):
            return 0.0, {}
        if isinstance(call, RegisterCall):
            if self.refusals:
                return 0.0, self.refusals.pop(0)
            self.registered.add(call.region)
            return 0.0, True
        if isinstance(call, UnregisterCall):
            self.registered.discard(call.region)
            return 0.0, True
        if isinstance(call, InferCall) and call.shared:
            if call.shared.region not in self.registered:
                return 0.0, InvalidRequestError(f"Unable to find shared memory region: '{call.shared.region}'")
            data = tuple(bytes(call.shared.memory[start : start + size]) for start, size in call.shared.inputs)
            call = replace(call, data=data, shared=None)
        return super().outcome(call, deadline)


@pytest.fixture(autouse=True)
def shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own: what lies in the real one belongs to other test processes."""
    monkeypatch.setattr(_regions, "SHARED_MEMORY", tmp_path)
    return tmp_path


@pytest.fixture
def server() -> SharingServer:
    return SharingServer()


@pytest.fixture
def client(server: SharingServer) -> Iterator[Client]:
    with Client("http://anywhere", transport=server, retry=Retry(base_s=0.001)) as client:
        yield client


def ask(client: Client) -> None:
    client.infer("m", x=np.ones(2, np.float32), via=SHARED)


@pytest.mark.parametrize(
    ("failures", "is_used_again"),
    [
        ((BUSY,), True),
        ((PROXY,), False),
        ((LOST,), False),
        ((BUSY, BUSY), True),
        ((LOST, InvalidRequestError("no")), False),
        ((BUSY, InternalServerError("broken")), True),
    ],
    ids=["busy", "proxy", "lost", "twice busy", "lost, then refused", "busy, then refused"],
)
def test_a_region_is_used_again_only_after_a_verdict_on_each_attempt(
    client: Client, server: SharingServer, failures: tuple[MaasClientError, ...], is_used_again: bool
) -> None:
    for failure in failures:
        server.fail("m", failure)
    server.answer("m", {"y": [1, 2]})
    try:
        ask(client)
    except MaasClientError as error:
        assert error is failures[-1]  # noqa: PT017  # only some of the cases end with an error
    ask(client)
    assert len(server.registered) == (1 if is_used_again else 2)


def test_later_clients_free_what_earlier_ones_had_to_leave(
    server: SharingServer, monkeypatch: pytest.MonkeyPatch, shared_memory: Path
) -> None:
    server.fail("m", LOST)
    server.answer("m", {"y": [1, 2]})
    with Client("http://anywhere", transport=server, retry=None) as first, pytest.raises(ConnectionLostError):
        ask(first)
    (left,) = server.registered
    with Client("http://anywhere", transport=server) as second:
        ask(second)
        assert left in server.registered
        assert (shared_memory / left).exists()
    monkeypatch.setattr(_regions, "LONGEST_USE_S", 0.0)
    with Client("http://anywhere", transport=server) as third:
        ask(third)
        assert left not in server.registered
        assert not (shared_memory / left).exists()


def test_a_failure_that_passes_does_not_end_sharing(
    client: Client, server: SharingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shared_memory, "_REFUSED_S", 0.0)
    server.refusals = [UnavailableError("queue full")]
    server.answer("m", {"y": [1, 2]})
    ask(client)
    assert not server.registered
    ask(client)
    assert len(server.registered) == 1


def test_a_region_that_the_server_forgot_is_made_anew(client: Client, server: SharingServer) -> None:
    server.answer("m", {"y": [1, 2]})
    ask(client)
    server.registered.clear()
    ask(client)
    assert len(server.registered) == 1


def test_a_call_that_is_finalized_inside_the_lock_does_not_stop_its_thread(
    client: Client, server: SharingServer
) -> None:
    server.answer("m", {"y": [1, 2]})
    ask(client)
    core = client._core
    builder, deadline = client._driver.run(core.builder("m", "", Deadline(5))), Deadline(5)
    call = builder.build(_asked())
    operation = core.shared_memory.exchange(core, call, builder.spec, deadline)
    next(operation)

    def collect() -> None:
        nonlocal operation
        with core.shared_memory._lock:
            del operation
            gc.collect()

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def _asked() -> Any:
    from maas_client._build import Asked

    return Asked({"x": np.ones(2, np.float32)})


def test_a_lock_is_free_in_a_forked_child() -> None:
    lock = ForkSafeLock()
    with lock:
        child = os.fork()
        if child == 0:
            thread = threading.Thread(target=lock.__enter__, daemon=True)
            thread.start()
            thread.join(5)
            os._exit(1 if thread.is_alive() else 0)
        assert os.waitpid(child, 0)[1] == 0
