"""One real server per test module, and a bare ``tritonclient`` to ask it over both protocols."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client

from maas_server.embedded import EmbeddedTriton
from maas_server.pytest_plugin import TritonFactory

# With importlib's import mode the helpers beside the tests are found only if their folder is on the path; the backend's
# own modules are found by their folder too, as Triton's stub finds them.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[2] / "server" / "backends" / "onnxruntime")]

from backend_models import ONNX_OF

Arrays = Mapping[str, np.ndarray[Any, Any]]
Serve = Callable[..., "Served"]
DATATYPE_OF = {
    "bool": "BOOL",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
    **{name.lower(): name for name in ONNX_OF if "INT" in name},
}


class Served:
    """A running server and one client per protocol."""

    def __init__(self, triton: EmbeddedTriton, repository: Path) -> None:
        self.triton = triton
        self.repository = repository
        self.failed = triton.failed
        self._local = threading.local()
        self.grpc = grpc_client.InferenceServerClient(triton.grpc_url)

    @property
    def http(self) -> Any:
        """This thread's HTTP client; it may not be used from another thread."""
        if not hasattr(self._local, "http"):
            self._local.http = http_client.InferenceServerClient(self.triton.http_url, network_timeout=30)
        return self._local.http

    def infer(
        self, model: str, inputs: Arrays, *, protocol: str = "grpc", outputs: Sequence[str] = (), **options: Any
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Sends one request; the outputs by name, as numpy arrays."""
        wire, client = (http_client, self.http) if protocol == "http" else (grpc_client, self.grpc)
        wanted = [wire.InferRequestedOutput(name) for name in outputs] or None
        result = client.infer(model, self._tensors(wire, inputs), outputs=wanted, **options)
        response = result.get_response()
        entries = response["outputs"] if protocol == "http" else response.outputs
        names = [entry["name"] if protocol == "http" else entry.name for entry in entries]
        return {name: result.as_numpy(name) for name in names}

    def infer_at_once(self, model: str, requests: Sequence[Arrays], **options: Any) -> list[Any]:
        """Sends all requests before reading an answer, so that Triton batches them; answers or exceptions, in order."""

        def send(inputs: Arrays) -> Any:
            try:
                return self.infer(model, inputs, **options)
            except grpc_client.InferenceServerException as error:
                return error

        with ThreadPoolExecutor(len(requests)) as pool:
            return list(pool.map(send, requests))

    def statistics(self, model: str, is_complete: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What Triton has counted of a model since it was loaded; waits until ``is_complete``, 10 s at most.

        Triton counts a batch only after it has sent the answers. So a difference between two readings may miss a batch
        of the first: whoever counts, counts a model of its own from 0.
        """
        deadline_s = time.monotonic() + 10
        while True:
            entry: dict[str, Any] = self.http.get_inference_statistics(model)["model_stats"][0]
            if is_complete(entry) or time.monotonic() > deadline_s:
                return entry
            time.sleep(0.01)

    def executions(self, model: str, *, rows: int) -> tuple[int, int]:
        """How many rows were inferred so far, and in how many runs; waits until at least ``rows`` were counted."""
        entry = self.statistics(model, lambda counted: counted["inference_count"] >= rows)
        return entry["inference_count"], entry["execution_count"]

    def log(self) -> str:
        """What the server has logged so far."""
        return self.triton.log_path.read_text(errors="replace")

    @staticmethod
    def _tensors(wire: Any, inputs: Arrays) -> list[Any]:
        tensors = []
        for name, array in inputs.items():
            tensor = wire.InferInput(name, array.shape, DATATYPE_OF[array.dtype.name])
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        return tensors


@pytest.fixture(scope="module")
def serve(module_triton_server: TritonFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """``serve(write, *arguments)``: ``write(repository)`` fills a folder, which a real server serves to the module."""
    with ExitStack() as stack:

        def start(write: Callable[[Path], None], *arguments: str) -> Served:
            repository = tmp_path_factory.mktemp("backend")
            write(repository)
            served = Served(module_triton_server(repository, extra_arguments=arguments), repository)
            stack.callback(served.grpc.close)
            return served

        yield start
