"""A real Triton with small models behind a real gateway: to be ended by a bad request, if anything can."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from maas_gateway.routing import Upstream
from tests.backend.backend_models import accumulator, config, identity, sequence_batching, state, write_model
from tests.backend.backend_models import tensor as side_of
from tests.gateway.poison_corpus import document, http, tensor
from tests.gateway.poison_corpus_grpc import BadGrpc
from tests.gateway.running import Gateway, start_gateway
from tests.server.serving import Serving, start_serving
from tests.waiting import wait_until

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Behind:
    """A Triton, and the gateway in front of it."""

    serving: Serving
    gateway: Gateway

    @property
    def address(self) -> tuple[str, int]:
        """Of the gateway."""
        parts = urlsplit(self.gateway.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def wait_whole(self) -> None:
        """Returns when each model answers and nothing more is to be told of those that were loaded anew.

        Where the machine stood still Triton finds out with the next request that it takes a model's process for dead.
        """
        once = {"sequence_id": 1, "sequence_start": True, "sequence_end": True}
        asked = {
            "echo": document(),
            "text": document(tensor(datatype="BYTES", data=["a", "b"])),
            "total": document(tensor(shape=[1, 1], data=[1]), parameters=once),
        }
        for model, body in asked.items():
            wire = http(path=f"/v2/models/{model}/infer", body=body)
            wait_until(lambda wire=wire: status_of(self.address, wire) == 200, f"{model} answers")
        untold = 0
        with contextlib.suppress(queue.Empty):
            while True:
                untold += {"stub_fault": 1, "reloaded": -1}.get(self.serving.events.get_nowait()["event"], 0)
        for _ in range(untold):
            self.serving.event("reloaded")


def write_models(repository: Path) -> None:
    """``echo`` (numbers) and ``text`` (BYTES) answer what they get; ``total`` sums the steps of a sequence."""
    for name, datatype in (("echo", "FP32"), ("text", "BYTES")):
        sides = {side: [side_of(label, datatype, [-1])] for side, label in (("inputs", "x"), ("outputs", "y"))}
        write_model(repository, name, identity(datatype), config(max_batch_size=8, **sides))
    batching = sequence_batching(state("sum", "FP32", [1]))
    sides = {"inputs": [side_of("x", "FP32", [1])], "outputs": [side_of("y", "FP32", [1])]}
    write_model(repository, "total", accumulator(), config(max_batch_size=8, more=batching, **sides))


@contextlib.contextmanager
def behind_gateway(folder: Path, *options: str) -> Iterator[Behind]:
    """Both, on free ports, while the block runs. ``options`` are the gateway's."""
    write_models(folder / "repository")
    serving = start_serving(folder / "repository", folder / "build")
    try:
        ready = serving.ready
        stable = Upstream(http=urlsplit(ready["http"]).netloc, grpc=urlsplit(ready["grpc"]).netloc)
        gateway = start_gateway(folder / "gateway", stable, "--drain-timeout", "1", *options)
        try:
            yield Behind(serving, gateway)
        finally:
            gateway.stop()
    finally:
        serving.stop(90)


def status_of(address: tuple[str, int], wire: bytes) -> int:
    """Sends the bytes as they are and returns the HTTP status of the answer; 0 where the connection was closed."""
    with socket.create_connection(address, _TIMEOUT_S) as connection:
        # Who is refused early is not read to the end.
        with contextlib.suppress(OSError):
            connection.sendall(wire)
        answer = b""
        with contextlib.suppress(OSError):
            while b"\r\n" not in answer and (part := connection.recv(65536)):
                answer += part
    words = answer.split(b" ", 2)
    return int(words[1]) if words[0].startswith(b"HTTP/1.") else 0


def code_of(channel: grpc.Channel, bad: BadGrpc) -> int:
    """Calls the method with the bytes as they are and returns the gRPC status."""
    call = channel.stream_unary(bad.method) if bad.method.endswith("Stream") else channel.unary_unary(bad.method)
    compression = grpc.Compression.Gzip if bad.compressed else None
    try:
        call(bad.message, timeout=_TIMEOUT_S, compression=compression)
    except grpc.RpcError as error:
        return int(error.code().value[0])
    return 0


def channel_to(address: tuple[str, int]) -> grpc.Channel:
    """A channel of its own that sends messages of any size."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.insecure_channel(f"{address[0]}:{address[1]}", options)
