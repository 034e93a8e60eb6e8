"""A server that is not there, for the tests of programs that use this library.

::

    fake = FakeTransport()
    fake.model("digits_cnn", inputs={"image": ("FP32", [-1, 1, 28, 28])}, outputs={"logits": ("FP32", [-1, 10])})
    fake.answer("digits_cnn", {"logits": np.zeros((1, 10), np.float32)})
    client = Client("grpc://anywhere", transport=fake)
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_client._calls import Answer, Call, ConfigCall, InferAnswer, InferCall, LiveCall, ParameterValue, ReadyCall
from maas_client._deadline import Deadline
from maas_client._dtypes import NUMPY_OF, Array, decode
from maas_client._stream import StreamCall
from maas_client.errors import MaasClientError, NotFoundError, RefusedValueError

Outputs = Mapping[str, Any]
Answers = Outputs | Sequence[Outputs]
"""What one call is answered with: one answer, or those of a stream."""
Tensors = Mapping[str, tuple[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class FakeCall:
    """An inference that was asked for.

    Attributes:
        model: its name.
        version: the version asked for; "" where none was.
        inputs: name -> array, as a server would have received them.
        outputs: the outputs asked for; empty for all.
        parameters: the request's own.
        request_id: its id, or "".
    """

    model: str
    version: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    parameters: Mapping[str, ParameterValue]
    request_id: str


@dataclass(slots=True)
class _Reply:
    make: Callable[[FakeCall], Answers | MaasClientError]
    delay_s: float
    times: int


@dataclass(slots=True)
class _Model:
    metadata: dict[str, Any]
    config: dict[str, Any]
    replies: list[_Reply]


class FakeTransport:
    """Answers the calls of a :class:`~maas_client.Client` or :class:`~maas_client.AsyncClient` from a script.

    The client checks, splits, repeats and times out as it does with a real server. It may be used from many threads.

    Attributes:
        calls: the inferences that were asked for, in order.
        ready: what the server says of itself.
    """

    def __init__(self) -> None:
        self.calls: list[FakeCall] = []
        self.ready = True
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()

    def model(
        self,
        name: str,
        *,
        inputs: Tensors,
        outputs: Tensors,
        max_batch_size: int = 0,
        versions: Sequence[int] = (1,),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a model, or describes it anew.

        Args:
            name: the model's name.
            inputs: name -> datatype and shape, with the batch axis where it has one; -1 is any size.
            outputs: likewise.
            max_batch_size: 0 where it has no batch axis.
            versions: those that are ready; the highest one answers.
            config: further fields of Triton's ``ModelConfig`` (``parameters``, ``sequence_batching``, ...).
        """
        metadata = {
            "name": name,
            "versions": [str(version) for version in versions],
            "platform": "fake",
            "inputs": _described(inputs),
            "outputs": _described(outputs),
        }
        replies = self._models[name].replies if name in self._models else []
        self._models[name] = _Model(
            metadata, {"name": name, "max_batch_size": max_batch_size, **(config or {})}, replies
        )

    def answer(
        self,
        model: str,
        outputs: Answers | Callable[[FakeCall], Answers],
        *,
        delay_s: float = 0.0,
        times: int = 1,
    ) -> None:
        """Adds an answer to the model's script.

        Args:
            model: a model added before.
            outputs: name -> values, a list of such mappings for a stream, or a function that makes either from the
                call.
            delay_s: how long the server takes; longer than the call's deadline ends in ``DeadlineExceededError``.
            times: for so many calls; the last reply of the script stays for all that follow.
        """
        if callable(outputs):
            self._script(model).append(_Reply(outputs, delay_s, times))
        else:
            values = outputs
            self._script(model).append(_Reply(lambda _call: values, delay_s, times))

    def fail(self, model: str, error: MaasClientError, *, delay_s: float = 0.0, times: int = 1) -> None:
        """Adds a failure to the model's script, like :meth:`answer`; the error is raised in place of the answer."""
        self._script(model).append(_Reply(lambda _call: error, delay_s, times))

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Makes one call, for the synchronous client."""
        delay_s, outcome = self.outcome(call, deadline)
        time.sleep(delay_s)
        if isinstance(outcome, MaasClientError):
            raise outcome
        return outcome

    def stream(self, stream: StreamCall, deadline: Deadline) -> Iterator[InferAnswer]:
        """Makes one call that any number of answers follow; the delay comes before the first."""
        delay_s, outcome = self.stream_outcome(stream, deadline)
        time.sleep(delay_s)
        if isinstance(outcome, MaasClientError):
            raise outcome
        yield from outcome

    def stream_outcome(
        self, stream: StreamCall, deadline: Deadline
    ) -> tuple[float, list[InferAnswer] | MaasClientError]:
        """How a stream goes, and after how many seconds it begins."""
        return self._infer(self._models[stream.spec.name], stream.call, deadline)

    def close(self) -> None:
        """Nothing is held."""

    def for_asyncio(self) -> AsyncFakeWire:
        """The same server for an asynchronous client."""
        return AsyncFakeWire(self)

    def _script(self, model: str) -> list[_Reply]:
        if model not in self._models:
            raise RefusedValueError(f"the fake has no model {model!r}; add it with model() first")
        return self._models[model].replies

    def outcome(self, call: Call, deadline: Deadline) -> tuple[float, Answer | MaasClientError]:
        """How a call ends, and after how many seconds."""
        if isinstance(call, LiveCall):
            return 0.0, True
        known = self._models.get(call.model)
        if isinstance(call, ReadyCall):
            return 0.0, self.ready and (not call.model or known is not None)
        if known is None:
            text = f"Request for unknown model: '{call.model}' is not found" if call.model else "no server metadata"
            return 0.0, NotFoundError(text, model=call.model, code="404")
        if isinstance(call, InferCall):
            delay_s, outcome = self._infer(known, call, deadline)
            return delay_s, outcome[0] if isinstance(outcome, list) else outcome
        return 0.0, dict(known.config if isinstance(call, ConfigCall) else known.metadata)

    def _infer(
        self, known: _Model, call: InferCall, deadline: Deadline
    ) -> tuple[float, list[InferAnswer] | MaasClientError]:
        form = call.form
        inputs = {
            name: decode(data, datatype, shape)
            for (name, datatype, shape), data in zip(form.inputs, call.data, strict=True)
        }
        seen = FakeCall(call.model, form.version, inputs, form.outputs, dict(call.parameters), call.request_id)
        with self._lock:
            self.calls.append(seen)
            reply = _next(known.replies)
        if reply is None:
            return 0.0, RefusedValueError(f"the fake has no answer for {call.model!r} left; add one with answer()")
        remaining_s = deadline.remaining_s()
        if remaining_s is not None and reply.delay_s > remaining_s:
            return remaining_s, deadline.error(call.model, "", "waiting for the answer")
        made = reply.make(seen)
        if isinstance(made, MaasClientError):
            return reply.delay_s, made
        version = int(form.version or known.metadata["versions"][-1])
        datatypes = {entry["name"]: entry["datatype"] for entry in known.metadata["outputs"]}
        answers = [
            InferAnswer(call.model, version, call.request_id, _arrays(outputs, datatypes, form.outputs), {})
            for outputs in ([made] if isinstance(made, Mapping) else made)
        ]
        return reply.delay_s, answers


class AsyncFakeWire:
    """A :class:`FakeTransport` as the asynchronous client uses it."""

    def __init__(self, transport: FakeTransport) -> None:
        self._transport = transport

    async def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Makes one call."""
        # Imported here: those who only use the synchronous client need not pay for asyncio.
        import asyncio

        delay_s, outcome = self._transport.outcome(call, deadline)
        await asyncio.sleep(delay_s)
        if isinstance(outcome, MaasClientError):
            raise outcome
        return outcome

    async def stream(self, stream: StreamCall, deadline: Deadline) -> AsyncGenerator[InferAnswer, None]:
        """Makes one call that any number of answers follow."""
        # Imported here, as above.
        import asyncio

        delay_s, outcome = self._transport.stream_outcome(stream, deadline)
        await asyncio.sleep(delay_s)
        if isinstance(outcome, MaasClientError):
            raise outcome
        for answer in outcome:
            yield answer

    async def close(self) -> None:
        """Nothing is held."""


def _arrays(outputs: Outputs, datatypes: Mapping[str, str], wanted: Sequence[str]) -> dict[str, Array]:
    return {name: _array(values, datatypes[name]) for name, values in outputs.items() if not wanted or name in wanted}


def _described(tensors: Tensors) -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": list(shape)} for name, (datatype, shape) in tensors.items()]


def _next(replies: list[_Reply]) -> _Reply | None:
    """The reply whose turn it is; the last one stays."""
    if not replies:
        return None
    reply = replies[0]
    reply.times -= 1
    if reply.times <= 0 and len(replies) > 1:
        replies.pop(0)
    return reply


def _array(values: Any, datatype: str) -> Array:
    if datatype != "BYTES":
        return np.array(values, NUMPY_OF[datatype])
    array = np.array(values, np.object_)
    flat = [element.encode() if isinstance(element, str) else element for element in array.ravel().tolist()]
    encoded = np.empty(len(flat), np.object_)
    encoded[:] = flat
    return encoded.reshape(array.shape)
