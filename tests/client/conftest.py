"""What the client's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.client.repository import write_repository
from tests.client.scripted import Scripted, scripted_grpc, scripted_http
from tests.client.ways import WAYS, open_client


@pytest.fixture(scope="session")
def urls(triton_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A real Triton with the models of ``tests/client/repository.py``."""
    folder = tmp_path_factory.mktemp("client") / "repository"
    write_repository(folder)
    server = triton_server(folder)
    assert not server.failed
    return {"http": f"http://{server.http_url}", "grpc": f"grpc://{server.grpc_url}"}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """One of the four ways to call: two protocols, each synchronous and asynchronous."""
    return str(request.param)


@pytest.fixture
def connect(way: str) -> Callable[..., Any]:
    """Opens a client of the way that the test runs in."""
    return partial(open_client, way)


@pytest.fixture
def client(way: str, urls: dict[str, str]) -> Iterator[Any]:
    """A client of the real server."""
    with open_client(way, urls[way.removesuffix("-async")], timeout_s=30) as client:
        yield client


@pytest.fixture
def scripted(way: str) -> Iterator[Scripted]:
    """A scripted server of the protocol that the test runs in."""
    with scripted_grpc() if way.startswith("grpc") else scripted_http() as server:
        yield server
