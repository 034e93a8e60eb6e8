"""Callers that compare every answer, over both protocols, each with a retry loop of its own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import numpy as np
import tritonclient.grpc as triton_grpc
from tests.soak.models import LARGE_WIDTH, TINY_WIDTH, Array, large_answer, tiny_answer
from tritonclient.utils import InferenceServerException

CALL_TIMEOUT_S = 20.0
"""A call that takes longer counts as untold: the server neither answered nor failed it."""
RETRY_FOR_S = 60.0
_PAUSE_S = 0.1
_SEQUENCE_STEPS = 20
_RELATIVE, _ABSOLUTE = 1e-4, 1e-4
_MESSAGE_LENGTH = 80


class CallFailed(Exception):
    """The server, or the connection, told that a call failed."""


class CallUntold(Exception):
    """A call was neither answered nor failed within its time."""


@dataclass
class Tally:
    """What the callers saw. The lock guards all of it.

    Attributes:
        answers: right answers, by kind of caller.
        wrong: descriptions of wrong answers.
        told: failures that were told, by kind and message; each was retried.
        untold: calls without an end, by kind.
        given_up: calls that the retry loop could not bring to an answer.
        sequences_restarted: sequences begun anew after a failure that was told.
    """

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)
    untold: Counter[str] = field(default_factory=Counter)
    given_up: list[str] = field(default_factory=list)
    sequences_restarted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Wire(Protocol):
    """One protocol, one caller's connection."""

    def infer(self, model: str, x: Array, **sequence: Any) -> Array:
        """Asks once; raises :class:`CallFailed` or :class:`CallUntold`."""

    def close(self) -> None:
        """Ends the connection."""


class GrpcWire:
    """Unary gRPC through tritonclient."""

    def __init__(self, address: str) -> None:
        self._client = triton_grpc.InferenceServerClient(address)

    def infer(self, model: str, x: Array, **sequence: Any) -> Array:
        tensor = triton_grpc.InferInput("x", list(x.shape), "FP32")
        tensor.set_data_from_numpy(x)
        try:
            result = self._client.infer(model, [tensor], client_timeout=CALL_TIMEOUT_S, **sequence)
        except InferenceServerException as error:
            if "Deadline" in str(error):
                raise CallUntold(str(error)) from error
            raise CallFailed(error.message()) from error
        except grpc.RpcError as error:
            raise CallFailed(str(error)) from error
        return np.asarray(result.as_numpy("y"))

    def close(self) -> None:
        self._client.close()


class HttpWire:
    """HTTP with JSON bodies and a kept connection."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=CALL_TIMEOUT_S)

    def infer(self, model: str, x: Array, **sequence: Any) -> Array:
        body = {
            "inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}],
            "parameters": sequence,
        }
        try:
            self._connection.request("POST", f"/v2/models/{model}/infer", json.dumps(body))
            answer = self._connection.getresponse()
            document = json.loads(answer.read())
        except TimeoutError as error:
            self._connection.close()
            raise CallUntold(f"nothing within {CALL_TIMEOUT_S:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise CallFailed(type(error).__name__) from error
        if answer.status != http.client.OK:
            raise CallFailed(document["error"])
        (output,) = (entry for entry in document["outputs"] if entry["name"] == "y")
        return np.array(output["data"], np.float32).reshape(output["shape"])

    def close(self) -> None:
        self._connection.close()


class Caller(threading.Thread):
    """Asks until it is told to stop.

    Args:
        kind: ``tiny``, ``large`` or ``running_sum``.
        wire: its connection.
        number: tells callers apart; seeds its inputs.
        tally: where it counts.
        stop: when to stop.
    """

    def __init__(self, kind: str, wire: Wire, number: int, tally: Tally, stop: threading.Event) -> None:
        super().__init__(name=f"{kind}-{type(wire).__name__}-{number}", daemon=True)
        self._kind = kind
        self._wire = wire
        self._tally = tally
        # Not ``_stop``: threading.Thread has a method of that name.
        self._stop_asked = stop
        self._random = np.random.default_rng(number)
        self._sequence_ids = itertools.count(number * 1_000_000 + 1)

    def run(self) -> None:
        one = self._one_sequence if self._kind == "running_sum" else self._one_request
        pairs = self._pairs()
        with contextlib.closing(self._wire):
            while not self._stop_asked.is_set():
                one(*next(pairs))

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        """Inputs and what must be answered; computed before, so that the load is the server's."""
        width, answer = (TINY_WIDTH, tiny_answer) if self._kind == "tiny" else (LARGE_WIDTH, large_answer)
        if self._kind == "running_sum":
            while True:
                steps = self._random.integers(-100, 100, (_SEQUENCE_STEPS, 1)).astype(np.float32)
                yield steps, np.cumsum(steps, axis=0)
        inputs = [
            self._random.standard_normal((self._random.integers(1, 5), width)).astype(np.float32) for _ in range(16)
        ]
        yield from itertools.cycle([(x, answer(x)) for x in inputs])

    def _one_request(self, x: Array, wanted: Array) -> None:
        give_up_at = time.monotonic() + RETRY_FOR_S
        while (found := self._attempt(x)) is None:
            if time.monotonic() > give_up_at:
                with self._tally.lock:
                    self._tally.given_up.append(self.name)
                return
            time.sleep(_PAUSE_S)
        self._compare(found, wanted)

    def _one_sequence(self, steps: Array, wanted: Array) -> None:
        give_up_at = time.monotonic() + RETRY_FOR_S
        while not self._whole_sequence(steps, wanted):
            with self._tally.lock:
                self._tally.sequences_restarted += 1
                if time.monotonic() > give_up_at:
                    self._tally.given_up.append(self.name)
                    return
            time.sleep(_PAUSE_S)

    def _whole_sequence(self, steps: Array, wanted: Array) -> bool:
        sequence_id = next(self._sequence_ids)
        for index, step in enumerate(steps):
            found = self._attempt(
                step[np.newaxis],
                sequence_id=sequence_id,
                sequence_start=index == 0,
                sequence_end=index == len(steps) - 1,
            )
            if found is None:
                return False
            self._compare(found, wanted[index : index + 1])
        return True

    def _attempt(self, x: Array, **sequence: Any) -> Array | None:
        try:
            return self._wire.infer(self._kind, x, **sequence)
        except CallFailed as error:
            with self._tally.lock:
                self._tally.told[f"{self._kind}: {str(error)[:_MESSAGE_LENGTH]}"] += 1
        except CallUntold as error:
            with self._tally.lock:
                self._tally.untold[f"{self._kind}: {str(error)[:_MESSAGE_LENGTH]}"] += 1
        return None

    def _compare(self, found: Array, wanted: Array) -> None:
        right = found.shape == wanted.shape and np.allclose(found, wanted, rtol=_RELATIVE, atol=_ABSOLUTE)
        with self._tally.lock:
            if right:
                self._tally.answers[f"{self._kind} {type(self._wire).__name__}"] += 1
            else:
                self._tally.wrong.append(f"{self.name}: wanted {wanted.ravel()[:3]}, got {found.ravel()[:3]}")
