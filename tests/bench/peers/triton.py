"""Embedded Triton, with our backend and with backends that compute nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client

from bench.load_programs.wrk import Post
from bench.models import Array, Model
from bench.peers.peer import GRPC, HTTP, SHARED_MEMORY, Peer, Running
from bench.repository import NOOP, NOOP_PYTHON, build_noop_backend, write_noop, write_repository
from maas_core.errors import NotHeld
from maas_server.embedded import EmbeddedTriton, embedded_triton

_DATATYPE_OF = {"float32": "FP32", "int64": "INT64"}


@contextmanager
def _serve(model: Model) -> Iterator[Running]:
    with _running(model, write_repository([model], model.name), model.name) as running:
        yield running


@contextmanager
def _serve_noop(model: Model) -> Iterator[Running]:
    with _running(model, write_noop(model, NOOP), NOOP, build_noop_backend(model)) as running:
        yield running


@contextmanager
def _serve_noop_python(model: Model) -> Iterator[Running]:
    with _running(model, write_noop(model, NOOP_PYTHON), NOOP_PYTHON) as running:
        yield running


@contextmanager
def _running(model: Model, repository: Path, name: str, *backends: Path) -> Iterator[Running]:
    with embedded_triton(repository, backends=backends) as triton:
        if triton.failed:
            raise NotHeld(f"embedded Triton does not load {name}: {triton.failed}")
        row = model.draw(np.random.default_rng(7))
        with grpc_client.InferenceServerClient(triton.grpc_url) as client:
            yield Running(
                pid=triton.pid,
                post=_post(triton, model, name, row),
                startup_s=triton.startup_s,
                ask=_http_asker(triton.http_url, model, name),
                ask_grpc=_asker(grpc_client, lambda: client, model, name),
                grpc_url=triton.grpc_url,
                served_as=name,
            )


def _post(triton: EmbeddedTriton, model: Model, name: str, row: Array) -> Post:
    url = f"http://{triton.http_url}/v2/models/{name}/infer"
    if model.stateful:
        # The generator writes header and controls itself, step by step.
        return Post(url, row.tobytes(), {})
    header = json.dumps(
        {
            "parameters": {"binary_data_output": True},
            "inputs": [
                {
                    "name": model.input_name,
                    "shape": list(row.shape),
                    "datatype": _DATATYPE_OF[row.dtype.name],
                    "parameters": {"binary_data_size": row.nbytes},
                }
            ],
        },
        separators=(",", ":"),
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    return Post(url, header + row.tobytes(), headers)


def _http_asker(url: str, model: Model, name: str) -> Callable[..., Array]:
    # An HTTP client of tritonclient belongs to one thread.
    local = threading.local()

    def client() -> Any:
        if not hasattr(local, "client"):
            local.client = http_client.InferenceServerClient(url, network_timeout=60.0, connection_timeout=60.0)
        return local.client

    return _asker(http_client, client, model, name)


def _asker(wire: Any, client: Callable[[], Any], model: Model, name: str) -> Callable[..., Array]:
    def ask(row: Array, sequence: int = 0, *, first: bool = False, last: bool = False) -> Array:
        tensor = wire.InferInput(model.input_name, row.shape, _DATATYPE_OF[row.dtype.name])
        tensor.set_data_from_numpy(row)
        options = {"sequence_id": sequence, "sequence_start": first, "sequence_end": last} if model.stateful else {}
        answer: Array = client().infer(name, [tensor], **options).as_numpy(model.output_name)
        return answer

    return ask


TRITON = Peer("embedded Triton", (HTTP, GRPC, SHARED_MEMORY), _serve, stateful=True)
NOOP_PEER = Peer("no-op, C", (HTTP, GRPC), _serve_noop, computes=False)
NOOP_PYTHON_PEER = Peer("no-op, Python", (HTTP, GRPC), _serve_noop_python, computes=False)
