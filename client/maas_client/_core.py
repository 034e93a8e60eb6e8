"""The client without any I/O: operations that yield the calls they want made and are sent the answers.

A wire, synchronous or not, drives an operation: it makes the yielded call and sends the answer back in, or throws the
error.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from maas_client._calls import (
    Answer,
    Call,
    ConfigCall,
    InferAnswer,
    InferCall,
    MetadataCall,
    ParameterValue,
    WireTensor,
)
from maas_client._check import check_inputs, check_model_name, check_outputs, check_version
from maas_client._deadline import Deadline
from maas_client._dtypes import encode
from maas_client._result import InferResult, Timing
from maas_client._spec import ModelSpec
from maas_client.errors import BadAnswerError, InputError, InvalidRequestError

_T = TypeVar("_T")


class Exchange(NamedTuple):
    """An operation asks its driver to make this call."""

    call: Call
    deadline: Deadline


Operation = Generator[Exchange, Answer, _T]

_FRESH_S = 1.0
"""A description younger than this is not fetched again because a caller's input does not fit it."""


class _Known(NamedTuple):
    spec: ModelSpec
    at: float


class Core:
    """What all clients share: the descriptions of the models, and the operations."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}

    def describe(self, model: str, version: str, deadline: Deadline) -> Operation[ModelSpec]:
        """The model's description, fetched once."""
        known = self._known.get((model, version))
        return known.spec if known else (yield from self._fetch(model, version, deadline))

    def _fetch(self, model: str, version: str, deadline: Deadline) -> Operation[ModelSpec]:
        metadata = yield Exchange(MetadataCall(model, version), deadline)
        config = yield Exchange(ConfigCall(model, version), deadline)
        if not (isinstance(metadata, dict) and isinstance(config, dict)):
            raise BadAnswerError(f"{model}: the server's description is no object", model=model)
        spec = ModelSpec.of(metadata, config)
        self._known[model, version] = _Known(spec, time.monotonic())
        return spec

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None,
        model_version: int | str | None,
        deadline: Deadline,
        cast: bool,
        request_id: str,
        parameters: Mapping[str, ParameterValue],
    ) -> Operation[InferResult]:
        """Checks, sends, and makes the result; sends again, once, when the server's model turns out to have changed."""
        started = time.monotonic()
        version = check_version(model_version, check_model_name(model))
        spec = yield from self.describe(model, version, deadline)
        build = partial(
            _build,
            version=version,
            inputs=inputs,
            outputs=outputs,
            cast=cast,
            request_id=request_id,
            parameters=parameters,
        )
        try:
            call = build(spec)
        except InputError:
            refreshed = yield from self._changed(spec, model, version, deadline, if_older_than_s=_FRESH_S)
            if refreshed is None:
                raise
            spec, call = refreshed, build(refreshed)
        checked = time.monotonic()
        attempts = 1
        try:
            answer = yield Exchange(call, deadline)
        except InvalidRequestError:
            refreshed = yield from self._changed(spec, model, version, deadline)
            if refreshed is None:
                raise
            spec, call = refreshed, build(refreshed)
            attempts = 2
            answer = yield Exchange(call, deadline)
        timing = Timing(checked - started, time.monotonic() - checked, attempts)
        return self._result(spec, version, answer, timing)

    def _changed(
        self, spec: ModelSpec, model: str, version: str, deadline: Deadline, *, if_older_than_s: float = 0.0
    ) -> Operation[ModelSpec | None]:
        """The model's description as it is now, or None where it is still the same."""
        known = self._known.get((model, version))
        if known and time.monotonic() - known.at < if_older_than_s:
            return None
        current = yield from self._fetch(model, version, deadline)
        return current if current != spec else None

    def _result(self, spec: ModelSpec, version: str, answer: Answer, timing: Timing) -> InferResult:
        if not isinstance(answer, InferAnswer):
            raise BadAnswerError(f"{spec.name}: the answer is no inference response", model=spec.name)
        if answer.version not in spec.versions:
            self._known.pop((spec.name, version), None)
        return InferResult(answer.outputs, answer.model, answer.version, answer.request_id, answer.parameters, timing)


def _build(
    spec: ModelSpec,
    *,
    version: str,
    inputs: Mapping[str, Any],
    outputs: Sequence[str] | None,
    cast: bool,
    request_id: str,
    parameters: Mapping[str, ParameterValue],
) -> InferCall:
    arrays = check_inputs(spec, inputs, cast=cast)
    tensors = tuple(
        WireTensor(name, spec.inputs[name].datatype, array.shape, encode(array, spec.inputs[name].datatype))
        for name, array in arrays.items()
    )
    return InferCall(spec.name, version, tensors, check_outputs(spec, outputs), parameters, request_id)
