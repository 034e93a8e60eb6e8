"""A server that is not there, for the tests of programs that use this library.

::

    fake = FakeTransport()
    fake.model("digits_cnn", inputs={"image": ("FP32", [-1, 1, 28, 28])}, outputs={"logits": ("FP32", [-1, 10])})
    fake.answer("digits_cnn", {"logits": np.zeros((1, 10), np.float32)})
    client = Client("grpc://anywhere", transport=fake)
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maas_client._calls import (
    Answer,
    Call,
    ConfigCall,
    InferAnswer,
    InferCall,
    LiveCall,
    ParameterValue,
    ReadyCall,
    RegionsCall,
    RegisterCall,
    UnregisterCall,
)
from maas_client._deadline import Deadline
from maas_client._dtypes import NUMPY_OF, Array, decode
from maas_client._forks import ForkSafeLock
from maas_client._stream import StreamCall
from maas_client.errors import InvalidRequestError, MaasClientError, NotFoundError, RefusedValueError, UnsupportedError

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
        sequence_id: of the sequence that it is a step of; None for any other call.
        sequence_start: whether it is the first step.
        sequence_end: whether it is the last step.
        class_count: so many best classes were asked for in place of values; 0 for values.
        headers: of this request alone: its trace context.
    """

    model: str
    version: str
    inputs: Mapping[str, Array]
    outputs: tuple[str, ...]
    parameters: Mapping[str, ParameterValue]
    request_id: str
    sequence_id: int | str | None = None
    sequence_start: bool = False
    sequence_end: bool = False
    class_count: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, call: InferCall) -> FakeCall:
        """Reads a request as a server does."""
        inputs = {
            name: decode(bytes(data), datatype, shape)
            for (name, datatype, shape), data in zip(call.form.inputs, call.data, strict=True)
        }
        own = dict(call.parameters)
        sequence_id = own.pop("sequence_id", None)
        return cls(
            call.model,
            call.form.version,
            inputs,
            call.form.outputs,
            sequence_start=bool(own.pop("sequence_start", False)),
            sequence_end=bool(own.pop("sequence_end", False)),
            sequence_id=sequence_id
            if isinstance(sequence_id, str)
            else None
            if sequence_id is None
            else int(sequence_id),
            parameters=own,
            request_id=call.request_id,
            class_count=call.form.class_count,
            headers=dict(call.headers),
        )


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
    open_sequences: set[int | str] = field(default_factory=set)

    @property
    def versions(self) -> list[int]:
        return [int(version) for version in self.metadata["versions"]]

    def missing(self, name: str, version: str) -> NotFoundError | None:
        """The error that Triton answers where there is no such version."""
        if not version or int(version) in self.versions:
            return None
        return NotFoundError(
            f"Request for unknown model: '{name}' version {version} is not found", model=name, code="404"
        )

    @property
    def keeps_sequences(self) -> bool:
        return "sequence_batching" in self.config

    def step(self, call: FakeCall) -> MaasClientError | None:
        """Opens and closes sequences; the error that Triton answers where a step belongs to none."""
        if not self.keeps_sequences:
            return None
        if not call.sequence_id:
            text = f"inference request to model '{call.model}' must specify a non-zero or non-empty correlation ID"
            return InvalidRequestError(text, model=call.model, code="400")
        if call.sequence_start:
            self.open_sequences.add(call.sequence_id)
        elif call.sequence_id not in self.open_sequences:
            text = (
                f"inference request for sequence {call.sequence_id} to model '{call.model}' must specify the START "
                "flag on the first request of the sequence"
            )
            return InvalidRequestError(text, model=call.model, code="400")
        if call.sequence_end:
            self.open_sequences.discard(call.sequence_id)
        return None


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
        self._lock = ForkSafeLock()

    def model(
        self,
        name: str,
        *,
        inputs: Tensors,
        outputs: Tensors,
        max_batch_size: int = 0,
        sequence: bool = False,
        versions: Sequence[int] = (1,),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds a model, or describes it anew.

        Args:
            name: the model's name.
            inputs: name -> datatype and shape, with the batch axis where it has one; -1 is any size.
            outputs: likewise.
            max_batch_size: 0 where it has no batch axis.
            sequence: whether it keeps a state; a step of no open sequence is refused then, as Triton does.
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
        batching: dict[str, Any] = {"sequence_batching": {}} if sequence else {}
        of_model = {"name": name, "max_batch_size": max_batch_size, **batching, **(config or {})}
        self._models[name] = _Model(metadata, of_model, replies)

    def open_sequences(self, model: str) -> frozenset[int | str]:
        """The ids of the sequences that were begun and not ended."""
        return frozenset(self._known(model).open_sequences)

    def lose_sequences(self, model: str) -> None:
        """Forgets all open sequences, as a server does that was restarted, or that they left idle for too long."""
        self._known(model).open_sequences.clear()

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
            self._known(model).replies.append(_Reply(outputs, delay_s, times))
        else:
            values = outputs
            self._known(model).replies.append(_Reply(lambda _call: values, delay_s, times))

    def fail(self, model: str, error: MaasClientError, *, delay_s: float = 0.0, times: int = 1) -> None:
        """Adds a failure to the model's script, like :meth:`answer`; the error is raised in place of the answer."""
        self._known(model).replies.append(_Reply(lambda _call: error, delay_s, times))

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
        return self._infer(self._known(stream.spec.name), stream.call, deadline)

    def close(self) -> None:
        """Nothing is held."""

    def for_asyncio(self) -> AsyncFakeWire:
        """The same server for an asynchronous client."""
        return AsyncFakeWire(self)

    def _known(self, model: str) -> _Model:
        if model not in self._models:
            raise RefusedValueError(f"the fake has no model {model!r}; add it with model() first")
        return self._models[model]

    def outcome(self, call: Call, deadline: Deadline) -> tuple[float, Answer | MaasClientError]:
        """How a call ends, and after how many seconds."""
        if isinstance(call, LiveCall):
            return 0.0, True
        if isinstance(call, RegisterCall | UnregisterCall | RegionsCall):
            return 0.0, UnsupportedError("the fake has no shared memory", code="501")
        known = self._models.get(call.model)
        if isinstance(call, ReadyCall):
            is_there = known is not None and (not call.version or int(call.version) in known.versions)
            return 0.0, self.ready and (not call.model or is_there)
        if known is None:
            text = f"Request for unknown model: '{call.model}' is not found" if call.model else "no server metadata"
            return 0.0, NotFoundError(text, model=call.model, code="404")
        if isinstance(call, InferCall):
            delay_s, outcome = self._infer(known, call, deadline)
            return delay_s, outcome[0] if isinstance(outcome, list) else outcome
        missing = known.missing(call.model, call.version)
        return 0.0, missing or dict(known.config if isinstance(call, ConfigCall) else known.metadata)

    def _infer(
        self, known: _Model, call: InferCall, deadline: Deadline
    ) -> tuple[float, list[InferAnswer] | MaasClientError]:
        form = call.form
        if missing := known.missing(call.model, form.version):
            return 0.0, missing
        seen = FakeCall.of(call)
        with self._lock:
            self.calls.append(seen)
            refused = known.step(seen)
            reply = None if refused else _next(known.replies)
        if refused:
            return 0.0, refused
        if reply is None:
            return 0.0, RefusedValueError(f"the fake has no answer for {call.model!r} left; add one with answer()")
        remaining_s = deadline.remaining_s()
        if remaining_s is not None and reply.delay_s > remaining_s:
            return remaining_s, deadline.error(call.model, "", "waiting for the answer")
        made = reply.make(seen)
        if isinstance(made, MaasClientError):
            return reply.delay_s, made
        version = int(form.version or max(known.versions))
        datatypes = {entry["name"]: entry["datatype"] for entry in known.metadata["outputs"]}
        answers = [
            InferAnswer(call.model, version, call.request_id, _arrays(outputs, datatypes, seen), {})
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


def _arrays(outputs: Outputs, datatypes: Mapping[str, str], call: FakeCall) -> dict[str, Array]:
    wanted = call.outputs or tuple(outputs)
    arrays = {name: _array(values, datatypes[name]) for name, values in outputs.items() if name in wanted}
    if not call.class_count:
        return arrays
    return {name: _best_classes(array, call.class_count) for name, array in arrays.items()}


def _best_classes(array: Array, count: int) -> Array:
    """``score:index`` of the highest values of each row, best first."""
    rows = array.reshape(len(array), -1)
    best = np.argsort(-rows, axis=1, kind="stable")[:, :count]
    texts = [[f"{row[index]:f}:{index}" for index in places] for row, places in zip(rows, best, strict=True)]
    return _array(texts, "BYTES")


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
