"""The same call, once with bare tritonclient and once with this library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import local
from typing import Any

import numpy as np
import tritonclient.grpc as bare_grpc
import tritonclient.http as bare_http

from bench.client.servers import INPUT, LARGE, OUTPUT, ROWS, NoopModel
from maas_client import Client
from maas_server.embedded import EmbeddedTriton

Call = Callable[[], object]
SINGLES = 64
_MODULES: dict[str, Any] = {"gRPC": bare_grpc, "HTTP": bare_http}
PROTOCOLS = tuple(_MODULES)


def _url(triton: EmbeddedTriton, protocol: str) -> str:
    return triton.http_url if protocol == "HTTP" else triton.grpc_url


def _rows(model: NoopModel, count: int = 1) -> Any:
    return np.random.default_rng(7).random((count, model.values), np.float32)


def _bare_call(module: Any, client: Any, model: NoopModel, rows: Any) -> Any:
    tensor = module.InferInput(INPUT, list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    return client.infer(model.name, [tensor]).as_numpy(OUTPUT)


@contextmanager
def one_call(triton: EmbeddedTriton, protocol: str, model: NoopModel) -> Iterator[tuple[Call, Call]]:
    """One row in and one out: ours and bare."""
    module, rows = _MODULES[protocol], _rows(model)
    with (
        Client(f"{protocol.lower()}://{_url(triton, protocol)}", retry=None) as client,
        module.InferenceServerClient(_url(triton, protocol)) as bare,
    ):
        yield (
            lambda: client.infer(model.name, x=rows)[OUTPUT],
            lambda: _bare_call(module, bare, model, rows),
        )


@contextmanager
def shared_memory(triton: EmbeddedTriton) -> Iterator[tuple[Call, Call]]:
    """10 MB through shared memory, and over gRPC, both with this library."""
    rows = _rows(LARGE)
    with Client(f"grpc://{triton.grpc_url}", retry=None) as client:
        yield (
            lambda: client.infer(LARGE.name, x=rows, via="system_shared_memory")[OUTPUT],
            lambda: client.infer(LARGE.name, x=rows)[OUTPUT],
        )


@contextmanager
def many_singles(triton: EmbeddedTriton, protocol: str) -> Iterator[tuple[Call, Call]]:
    """64 singles: ``client.map``, and a pool of 64 threads with bare clients (HTTP: one for each thread)."""
    module, rows, url = _MODULES[protocol], _rows(ROWS, SINGLES), _url(triton, protocol)
    own = local()
    with ExitStack() as stack:
        client = stack.enter_context(Client(f"{protocol.lower()}://{url}", retry=None))
        pool = stack.enter_context(ThreadPoolExecutor(SINGLES))
        shared = stack.enter_context(module.InferenceServerClient(url)) if protocol == "gRPC" else None

        def single(row: Any) -> Any:
            # tritonclient.http belongs to the thread that made it.
            if shared is None and not hasattr(own, "client"):
                own.client = module.InferenceServerClient(url)
            return _bare_call(module, shared or own.client, ROWS, row[np.newaxis])

        yield (
            lambda: list(client.map(ROWS.name, rows, concurrency=SINGLES)),
            lambda: list(pool.map(single, rows)),
        )
