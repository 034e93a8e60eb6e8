"""The client without any I/O: operations that check, build, choose a server, repeat and decode."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from maas_client._build import Asked, Builder
from maas_client._calls import Answer, Call, ConfigCall, InferAnswer, InferCall, MetadataCall, ReadyCall
from maas_client._check import check_model_name, check_version
from maas_client._deadline import Deadline
from maas_client._endpoints import Endpoints
from maas_client._result import InferResult, Timing, joined
from maas_client._retry import Retry
from maas_client._shared_memory import SharedMemory
from maas_client._spec import ModelSpec, steps_of
from maas_client._steps import Exchange, Operation, Pause, Race, Raced, Together
from maas_client._stream import StreamCall
from maas_client.errors import (
    BadAnswerError,
    CircuitOpenError,
    InputError,
    InvalidRequestError,
    MaasClientError,
    ServerError,
    TransportError,
    UnavailableError,
)

_FRESH_S = 1.0
"""A description that was looked at again less than this ago is not fetched for the next misfit."""


_PROBE_S = 2.0
"""How long one of several servers may take to say that it is ready again."""
_T = TypeVar("_T")


class _Known(NamedTuple):
    builder: Builder
    refreshed_at: float


class Core:
    """What all clients share: the descriptions of the models, the servers' state, and the operations."""

    def __init__(self, endpoints: Endpoints, retry: Retry, hedge_after_s: float | None = None) -> None:
        self.endpoints = endpoints
        self._hedge_after_s = hedge_after_s
        self.shared_memory = SharedMemory()
        self._retry = retry
        self._known: dict[tuple[str, str], _Known] = {}
        self._pinned: dict[str, str] = {}

    def pin(self, model: str, model_version: int | str | None) -> None:
        """Makes a version the one that unversioned calls of a model ask for; None undoes it."""
        version = check_version(model_version, check_model_name(model))
        if version:
            self._pinned[model] = version
        else:
            self._pinned.pop(model, None)

    def version(self, model: str, model_version: int | str | None) -> str:
        """The version to ask for: the call's own, or the pinned one, or "" for the server's choice."""
        if model_version is None and isinstance(model, str) and (model, "") in self._known:
            return self._pinned.get(model, "")
        return check_version(model_version, check_model_name(model)) or self._pinned.get(model, "")

    def exchange(
        self,
        call: Call,
        deadline: Deadline,
        *,
        endpoint: int | None = None,
        may_be_applied_twice: bool = True,
        failures: list[MaasClientError] | None = None,
    ) -> Operation[tuple[Answer, int]]:
        """Makes one call at the server whose turn it is, and again while that makes sense.

        Args:
            call: what to ask.
            deadline: for all attempts and waits.
            endpoint: ask this server and no other.
            may_be_applied_twice: False for a step of a sequence.
            failures: the error of each attempt that failed is added to it.

        Returns:
            the answer, and the number of attempts.
        """
        attempt = 1
        last: MaasClientError | None = None
        while True:
            index = endpoint
            try:
                if index is None:
                    chosen, must_probe = self.endpoints.choose()
                    index = (yield from self._ready(chosen, deadline)) if must_probe else chosen
                if self._hedge_after_s is None or endpoint is not None or not isinstance(call, InferCall):
                    answer = yield Exchange(call, deadline, index)
                else:
                    raced: Raced = yield self._race(call, deadline, index)
                    index, attempt = None, attempt + raced.attempts - 1
                    answer, index = self._winner(raced)
            except MaasClientError as error:
                if index is not None:
                    self.endpoints.circuits[index].failed(error)
                if failures is not None:
                    failures.append(error)
                pause_s = self._retry.pause_s(error, attempt, deadline, may_be_applied_twice=may_be_applied_twice)
                if pause_s is None:
                    if last and isinstance(error, CircuitOpenError):
                        # Why the circuit is open by now says more than that it is.
                        raise last from None
                    raise
                last = error
            else:
                self.endpoints.circuits[index].succeeded()
                return answer, attempt
            yield Pause(pause_s)
            attempt += 1

    def _race(self, call: InferCall, deadline: Deadline, index: int) -> Race:
        second = self.endpoints.other_than(index)
        return Race(Exchange(call, deadline, index), Exchange(call, deadline, second), self._hedge_after_s or 0.0)

    def _winner(self, raced: Raced) -> tuple[Answer, int]:
        for index, error in raced.failures:
            self.endpoints.circuits[index].failed(error)
        if raced.answer is None:
            raise raced.failures[-1][1]
        return raced.answer, raced.endpoint

    def choose(self, deadline: Deadline) -> Operation[int]:
        """The server whose turn it is; one that did not answer lately is asked first whether it is ready."""
        index, must_probe = self.endpoints.choose()
        return (yield from self._ready(index, deadline)) if must_probe else index

    def _ready(self, index: int, deadline: Deadline) -> Operation[int]:
        """This server if it is ready again, or else the next one that answers."""
        asked: set[int] = set()
        must_probe = True
        while must_probe:
            try:
                yield from self._probe(index, deadline)
            except MaasClientError as error:
                self.endpoints.circuits[index].failed(error)
                asked.add(index)
                if deadline.remaining_s() == 0:
                    raise
                try:
                    index, must_probe = self.endpoints.choose(asked)
                except CircuitOpenError:
                    # Why the last one cannot be called says more than that none can.
                    raise error from None
            else:
                return index
        return index

    def _probe(self, index: int, deadline: Deadline) -> Operation[None]:
        is_ready = yield Exchange(ReadyCall(), self._probe_deadline(deadline), index)
        if not is_ready:
            raise UnavailableError("the server is not ready", endpoint=str(self.endpoints.addresses[index]))
        self.endpoints.circuits[index].succeeded()

    def _probe_deadline(self, deadline: Deadline) -> Deadline:
        """A server that hangs must leave time to ask another one."""
        remaining_s = deadline.remaining_s()
        if len(self.endpoints.addresses) == 1 or remaining_s == 0:
            return deadline
        return Deadline(_PROBE_S if remaining_s is None else min(_PROBE_S, remaining_s / 2))

    def description(self, call: MetadataCall | ConfigCall, deadline: Deadline) -> Operation[dict[str, Any]]:
        """The server's answer to a call that is answered with an object."""
        answer, _ = yield from self.exchange(call, deadline)
        if not isinstance(answer, dict):
            raise BadAnswerError(f"{call.model or 'the server'}: the description is no object", model=call.model)
        return answer

    def builder(self, model: str, version: str, deadline: Deadline) -> Operation[Builder]:
        """What knows the model's description, fetched once."""
        known = self._known.get((model, version))
        return known.builder if known else (yield from self._fetch(model, version, deadline, -math.inf))

    def _fetch(self, model: str, version: str, deadline: Deadline, refreshed_at: float) -> Operation[Builder]:
        metadata = yield from self.description(MetadataCall(model, version), deadline)
        config = yield from self.description(ConfigCall(model, version), deadline)
        steps = yield from self._steps(config, deadline)
        builder = Builder(ModelSpec.of(metadata, config, steps), version)
        self._known[model, version] = _Known(builder, refreshed_at)
        return builder

    def _steps(self, config: dict[str, Any], deadline: Deadline) -> Operation[list[dict[str, Any]]]:
        """The configurations of all models that an ensemble consists of; none where it is no ensemble."""
        found: list[dict[str, Any]] = []
        for model, version in steps_of(config):
            try:
                own = yield from self.description(ConfigCall(model, version), deadline)
            except ServerError:
                # A gateway may hide what an ensemble is made of; it can be called all the same.
                continue
            found += [own, *(yield from self._steps(own, deadline))]
        return found

    def remember(self, model: str, version: str, spec: ModelSpec) -> None:
        """Takes a description that was fetched without naming the version as that of the version that answered."""
        self._known.setdefault((model, version), _Known(Builder(spec, version), -math.inf))

    def refreshed(self, builder: Builder, model: str, version: str, deadline: Deadline) -> Operation[Builder]:
        """The same builder where the model is still described as it was, another where it changed."""
        known = self._known.get((model, version))
        now = time.monotonic()
        if known and now - known.refreshed_at < _FRESH_S:
            return known.builder if known.builder.spec != builder.spec else builder
        current = yield from self._fetch(model, version, deadline, now)
        return current if current.spec != builder.spec else builder

    def made(
        self, model: str, version: str, deadline: Deadline, make: Callable[[Builder], _T]
    ) -> Operation[tuple[_T, Builder]]:
        """What is made of a caller's values, and by which builder: anew where they misfit a model that changed.

        Raises:
            InputError: they do not fit the model as it is now.
        """
        builder = yield from self.builder(model, version, deadline)
        try:
            return make(builder), builder
        except InputError as error:
            try:
                refreshed = yield from self.refreshed(builder, model, version, deadline)
            except (TransportError, ServerError):
                # The caller's mistake says more than that nobody can be asked whether it still is one.
                raise error from None
            if refreshed is builder:
                raise
            return make(refreshed), refreshed

    def spec_of(self, answer: Answer, builder: Builder, version: str, deadline: Deadline) -> Operation[ModelSpec]:
        """The description of the version that answered: fetched anew where the known one is older."""
        spec = builder.spec
        if not isinstance(answer, InferAnswer) or answer.version in spec.versions:
            return spec
        try:
            return (yield from self.refreshed(builder, spec.name, version, deadline)).spec
        except MaasClientError:
            # The answer is there; its description is fetched for the next call.
            return spec

    def infer(
        self,
        model: str,
        asked: Asked,
        *,
        model_version: int | str | None,
        deadline: Deadline,
        split: bool = False,
        shared: bool = False,
    ) -> Operation[InferResult]:
        """Checks, sends, and makes the result; sends once more when the server's model turns out to have changed."""
        started = time.monotonic()
        version = self.version(model, model_version)
        if split:
            parts, _ = yield from self.made(model, version, deadline, lambda builder: builder.split(asked))
            if parts:
                return (yield from self._infer_parts(parts, model, version, deadline, shared=shared))
        call, builder = yield from self.made(model, version, deadline, lambda builder: builder.build(asked))
        checked = time.monotonic()
        try:
            answer, attempts = yield from self._send(call, builder.spec, deadline, shared=shared)
        except InvalidRequestError:
            refreshed = yield from self.refreshed(builder, model, version, deadline)
            if refreshed is builder:
                raise
            builder = refreshed
            answer, attempts = yield from self._send(builder.build(asked), builder.spec, deadline, shared=shared)
            attempts += 1
        timing = Timing(checked - started, time.monotonic() - checked, attempts)
        spec = yield from self.spec_of(answer, builder, version, deadline)
        return self.result(spec, version, answer, timing)

    def _send(
        self, call: InferCall, spec: ModelSpec, deadline: Deadline, *, shared: bool
    ) -> Operation[tuple[Answer, int]]:
        if shared:
            return self.shared_memory.exchange(self, call, spec, deadline)
        return self.exchange(call, deadline)

    def _infer_parts(
        self, parts: list[Asked], model: str, version: str, deadline: Deadline, *, shared: bool
    ) -> Operation[InferResult]:
        def part_calls(version: str) -> list[Operation[InferResult]]:
            return [self.infer(model, part, model_version=version, deadline=deadline, shared=shared) for part in parts]

        results: list[InferResult] = yield Together(part_calls(version))
        if len({result.model_version for result in results}) > 1:
            # A new version came in between: no answer may be made of two.
            newest = str(max(result.model_version for result in results))
            results = yield Together(part_calls(newest))
        return joined(results)

    def begin_stream(
        self, model: str, asked: Asked, *, model_version: int | str | None, deadline: Deadline
    ) -> Operation[tuple[StreamCall, int]]:
        """The checked request of a stream, and the server that it goes to."""
        version = self.version(model, model_version)
        call, builder = yield from self.made(model, version, deadline, lambda builder: builder.build(asked))
        return StreamCall(call, builder.spec), (yield from self.choose(deadline))

    def stream_result(self, stream: StreamCall, endpoint: int, answer: InferAnswer, started: float) -> InferResult:
        """The caller's form of one answer of a stream; its time counts from the beginning of the stream."""
        self.endpoints.circuits[endpoint].succeeded()
        timing = Timing(0.0, time.monotonic() - started)
        return self.result(stream.spec, stream.call.form.version, answer, timing)

    def result(self, spec: ModelSpec, version: str, answer: Answer, timing: Timing) -> InferResult:
        """The caller's form of an answer; a version that the description does not know makes it be fetched anew."""
        if not isinstance(answer, InferAnswer):
            raise BadAnswerError(f"{spec.name}: the answer is no inference response", model=spec.name)
        if answer.version not in spec.versions:
            self._known.pop((spec.name, version), None)
        return InferResult(
            answer.outputs,
            answer.model,
            answer.version,
            answer.request_id,
            answer.parameters,
            timing,
            spec.digests.get(answer.version, ""),
        )
