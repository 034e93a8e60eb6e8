"""Callers at an even rate, over HTTP and gRPC, each answer written down with its times and with who answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from tests.campaigns.versions import CALLER, MODEL

_THREADS_PER_PROTOCOL = 60
_LATEST_S = 2.0
"""A request that could not be sent for so long is left out and counted: what is late must not grow without end."""
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        sent_s: when it was sent, seconds since the epoch.
        done_s: when it was answered.
        latency_ms: from when it was due.
        version: the version that answered, as the server says.
        factor: what it multiplied by, which tells the build.
        error: why there is no answer.
    """

    protocol: str
    sent_s: float
    done_s: float
    latency_ms: float
    version: int = 0
    factor: float = 0.0
    error: str = ""


@dataclass
class Record:
    """All answers; threads append to it.

    Attributes:
        left_out: a place for each request that was not sent in time.
    """

    answers: list[Answer] = field(default_factory=list)
    left_out: list[float] = field(default_factory=list)

    def since(self, at_s: float) -> list[Answer]:
        """Those that were sent after ``at_s``."""
        return [answer for answer in self.answers if answer.sent_s >= at_s]

    @property
    def sent_share(self) -> float:
        """Of the requests that were due."""
        return len(self.answers) / max(1, len(self.answers) + len(self.left_out))


Ask = Callable[[float], tuple[int, float]]


@contextmanager
def calling(http_address: str, grpc_address: str, per_s: float) -> Iterator[Record]:
    """Calls the model while the block runs, half of the requests over each protocol.

    Args:
        http_address: ``HOST:PORT`` of the gateway.
        grpc_address: likewise for gRPC.
        per_s: requests per second, all together.
    """
    record, stop = Record(), threading.Event()
    asks = {"http": lambda: _http(http_address), "grpc": lambda: _grpc(grpc_address)}
    threads = []
    for offset, (protocol, make) in enumerate(asks.items()):
        for number in range(_THREADS_PER_PROTOCOL):
            first_s = (number * len(asks) + offset) / per_s
            every_s = len(asks) * _THREADS_PER_PROTOCOL / per_s
            arguments = (protocol, make, first_s, every_s, record, stop)
            threads.append(threading.Thread(target=_call, args=arguments, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield record
    finally:
        stop.set()
        for thread in threads:
            thread.join(_TIMEOUT_S)


def _call(
    protocol: str,
    make: Callable[[], contextlib.AbstractContextManager[Ask]],
    first_s: float,
    every_s: float,
    record: Record,
    stop: threading.Event,
) -> None:
    due_s = time.monotonic() + first_s
    number = 0
    with make() as ask:
        while not stop.wait(max(0.0, due_s - time.monotonic())):
            number += 1
            if time.monotonic() - due_s > _LATEST_S:
                record.left_out.append(due_s)
                due_s += every_s
                continue
            record.answers.append(_once(protocol, ask, float(1 + number % 97), due_s))
            due_s += every_s


def _once(protocol: str, ask: Ask, value: float, due_s: float) -> Answer:
    sent_s = time.time()
    version, factor, error = 0, 0.0, ""
    try:
        version, answered = ask(value)
        factor = answered / value
    except (OSError, http.client.HTTPException, InferenceServerException, RuntimeError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    return Answer(protocol, sent_s, time.time(), 1000 * (time.monotonic() - due_s), version, factor, error)


@contextmanager
def _http(address: str) -> Iterator[Ask]:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT_S)

    def ask(value: float) -> tuple[int, float]:
        body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [CALLER, value]}]}
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if answer.status != http.client.OK:
            raise RuntimeError(f"{answer.status} {text.decode(errors='replace')[:200]}")
        document = json.loads(text)
        return int(document["model_version"]), float(document["outputs"][0]["data"][1])

    with contextlib.closing(connection):
        yield ask


@contextmanager
def _grpc(address: str) -> Iterator[Ask]:
    client = triton_grpc.InferenceServerClient(address)
    tensor = triton_grpc.InferInput("x", [1, 2], "FP32")

    def ask(value: float) -> tuple[int, float]:
        tensor.set_data_from_numpy(np.array([[CALLER, value]], np.float32))
        result = client.infer(MODEL, [tensor], client_timeout=_TIMEOUT_S)
        return int(result.get_response().model_version), float(result.as_numpy("y")[0, 1])

    with contextlib.closing(client):
        yield ask
