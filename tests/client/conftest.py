"""What the client's tests share: small models on a real Triton, and servers that misbehave on purpose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb

from maas_client import Client

WAYS = ("grpc", "http")
DATATYPES = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
RANKS = (1, 2, 3)

_IDENTITY = '''
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """Gives back every input x... as y...; an input `fail` with text in it is answered with an error."""

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        outputs = []
        for tensor in request.inputs():
            array = tensor.as_numpy()
            if array.dtype == object and array.size and array.ravel()[0] == b"fail":
                return pb_utils.InferenceResponse(error=pb_utils.TritonError("asked to fail"))
            outputs.append(pb_utils.Tensor("y" + tensor.name()[1:], array))
        return pb_utils.InferenceResponse(outputs)
'''

_CLASSIFIER = '''
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    """A "picture" is its label; `bad...` is told in the output `error`, `refuse...` makes the whole request fail."""

    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(r, "picture").as_numpy()) for r in requests]

    def _answer(self, pictures):
        texts = [bytes(picture).decode("utf-8", "replace").strip() for picture in pictures.ravel()]
        if any(text.startswith("refuse") for text in texts):
            error = pb_utils.TritonError("not a picture", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=error)
        bad = [text.startswith("bad") for text in texts]
        label = [["" if is_bad else text, "other"] for text, is_bad in zip(texts, bad)]
        score = [[0.0, 0.0] if is_bad else [0.9, 0.1] for is_bad in bad]
        error = [["not a picture" if is_bad else ""] for is_bad in bad]
        return pb_utils.InferenceResponse([
            pb_utils.Tensor("label", np.array(label, object)),
            pb_utils.Tensor("score", np.array(score, np.float32)),
            pb_utils.Tensor("error", np.array(error, object)),
        ])
'''


def _tensor(kind: str, name: str, datatype: str, dims: str, optional: bool = False) -> str:
    of_config = "STRING" if datatype == "BYTES" else datatype
    line = f'{kind} {{ name: "{name}" data_type: TYPE_{of_config} dims: {dims}'
    return line + (" optional: true }\n" if optional else " }\n")


def _write(repository: Path, name: str, config: str, source: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "model.py").write_text(source)
    (repository / name / "config.pbtxt").write_text(f'backend: "python"\n{config}')


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Identity models.

    `anything`: an optional input xFP32_2 (and so on) of each datatype and rank, no batching;
    `small`: x FP32 [batch <= 4, 1, 3], which refuses NaN; `texts`: x BYTES [batch <= 8, 1]; `pictures`: a classifier.
    """
    folder = tmp_path_factory.mktemp("client") / "repository"
    everything = "".join(
        _tensor("input", f"x{datatype}_{rank}", datatype, str([-1] * rank), optional=True)
        + _tensor("output", f"y{datatype}_{rank}", datatype, str([-1] * rank))
        for datatype in DATATYPES
        for rank in RANKS
    )
    _write(folder, "anything", everything, _IDENTITY)
    refuse = 'parameters { key: "reject_nonfinite" value { string_value: "true" } }\n'
    small = _tensor("input", "x", "FP32", "[1, 3]") + _tensor("output", "y", "FP32", "[1, 3]")
    _write(folder, "small", "max_batch_size: 4\n" + refuse + small, _IDENTITY)
    texts = _tensor("input", "x", "BYTES", "[1]") + _tensor("output", "y", "BYTES", "[1]")
    _write(folder, "texts", "max_batch_size: 8\n" + texts, _IDENTITY)
    pictures = (
        _tensor("input", "picture", "BYTES", "[1]")
        + _tensor("output", "label", "BYTES", "[2]")
        + _tensor("output", "score", "FP32", "[2]")
        + _tensor("output", "error", "BYTES", "[1]")
    )
    _write(folder, "pictures", "max_batch_size: 8\n" + pictures, _CLASSIFIER)
    return folder


@pytest.fixture(scope="session")
def urls(triton_server: Callable[..., Any], repository: Path) -> dict[str, str]:
    server = triton_server(repository)
    assert not server.failed
    return {"http": f"http://{server.http_url}", "grpc": f"grpc://{server.grpc_url}"}


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[Client]:
    with Client(urls[request.param], timeout_s=30) as client:
        yield client


@dataclass
class Scripted:
    """A server that answers what it is told, over HTTP or gRPC, and counts what it was asked.

    Attributes:
        url: for a client.
        replies: taken one after another for each inference; the last one stays.
        asked: the inference requests that came, as bytes of the body or as messages.
    """

    url: str
    replies: list[Any] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    described: int = 0
    max_batch_size: int = 4
    versions: list[str] = field(default_factory=lambda: ["1"])

    def next_reply(self) -> Any:
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def metadata(self) -> dict[str, Any]:
        tensor = {"datatype": "FP32", "shape": [-1, 2]}
        return {
            "name": "m",
            "versions": self.versions,
            "platform": "",
            "inputs": [{"name": "x", **tensor}],
            "outputs": [{"name": "y", **tensor}],
        }


def _json_answer(value: bytes, status: int = 200, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} Some\r\nContent-Length: {len(value)}\r\n{headers}\r\n".encode() + value


def _serve_connection(server: Scripted, connection: socket.socket, stop: threading.Event) -> None:
    import json

    stream = connection.makefile("rb")
    while line := stream.readline():
        length = 0
        while (header := stream.readline()) not in {b"\r\n", b""}:
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        body = stream.read(length)
        path = line.split()[1].decode()
        if path.endswith("/config"):
            connection.sendall(_json_answer(json.dumps({"max_batch_size": server.max_batch_size}).encode()))
        elif not path.endswith("/infer"):
            server.described += 1
            connection.sendall(_json_answer(json.dumps(server.metadata()).encode()))
        else:
            server.asked.append(body)
            reply = server.next_reply()
            if reply == "stall":
                stop.wait(30)
                return
            if reply == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                return
            connection.sendall(reply)
            head, _, sent = reply.partition(b"\r\n\r\n")
            if f"Content-Length: {len(sent)}".encode() not in head:
                return


@pytest.fixture
def scripted_http() -> Iterator[Scripted]:
    """Replies are raw bytes of HTTP responses, "stall" or "reset"."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}")
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def handle(connection: socket.socket) -> None:
        try:
            _serve_connection(server, connection, stop)
        except ConnectionError:
            pass  # the client hung up: what these tests make it do
        finally:
            connection.close()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=handle, args=(connection,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    yield server
    stop.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    acceptor.join(5)


@pytest.fixture
def scripted_grpc() -> Iterator[Scripted]:
    """Replies are message bytes, "stall", or a pair of status code and details."""
    stop = threading.Event()
    pool = futures.ThreadPoolExecutor(8)
    grpc_server = grpc.server(pool)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    server = Scripted(f"grpc://127.0.0.1:{port}")

    def infer(message: bytes, context: grpc.ServicerContext) -> bytes:
        server.asked.append(message)
        reply = server.next_reply()
        if reply == "stall":
            stop.wait(30)
            return b""
        if isinstance(reply, tuple):
            context.abort(*reply)
        return bytes(reply)

    def metadata(_message: bytes, _context: grpc.ServicerContext) -> bytes:
        server.described += 1
        return bytes(pb.ModelMetadataResponse(**server.metadata()).SerializeToString())

    def config(_message: bytes, _context: grpc.ServicerContext) -> bytes:
        return bytes(pb.ModelConfigResponse(config={"max_batch_size": server.max_batch_size}).SerializeToString())

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(function)
        for name, function in {"ModelInfer": infer, "ModelMetadata": metadata, "ModelConfig": config}.items()
    }
    grpc_server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    grpc_server.start()
    yield server
    stop.set()
    grpc_server.stop(0).wait(5)
    pool.shutdown(wait=False)
