"""Many single samples: gathered into batches, sent several at a time, answered one by one in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maas_client._build import Asked, Builder
from maas_client._check import check_inputs, check_outputs
from maas_client._core import Core
from maas_client._deadline import Deadline
from maas_client._dtypes import Array
from maas_client._progress import Bar
from maas_client._result import InferResult
from maas_client._spec import ModelSpec
from maas_client._steps import Operation
from maas_client.errors import (
    BadAnswerError,
    InputError,
    InternalServerError,
    InvalidRequestError,
    MaasClientError,
    NameMismatchError,
    RefusedValueError,
)

Outcome = InferResult | MaasClientError


@dataclass(frozen=True, slots=True)
class Refused:
    """A sample that does not fit the model as it was known.

    Attributes:
        sample: as it was passed.
        error: why it does not fit.
    """

    sample: Any
    error: InputError


Prepared = dict[str, Array] | Refused


@dataclass(frozen=True, slots=True)
class MapOptions:
    """How samples are sent.

    Attributes:
        outputs: names; None is all.
        model_version: None lets the server choose.
        batch_size: samples in one request at most; None is the model's ``max_batch_size``.
        concurrency: requests under way at most.
        timeout_s: the deadline of each request in seconds.
        cast: allow numpy's "safe" casts.

    Raises:
        RefusedValueError: a number makes no sense.
    """

    outputs: Sequence[str] | None
    model_version: int | str | None
    batch_size: int | None
    concurrency: int
    timeout_s: float | None
    cast: bool

    def __post_init__(self) -> None:
        if self.concurrency < 1 or (self.batch_size is not None and self.batch_size < 1):
            got = f"{self.concurrency} and {self.batch_size}"
            raise RefusedValueError(f"concurrency and batch_size are at least 1, got {got}; pass larger numbers")


def gather(builder: Builder, samples: Iterable[Any], options: MapOptions) -> Iterator[list[Prepared]]:
    """Checks each sample and groups neighbours of equal shape; a refused sample stands in its place.

    A sample that is an :class:`InputError` counts as refused already.

    Raises:
        NameMismatchError: the model has no such output.
    """
    spec = builder.spec
    check_outputs(spec, options.outputs)
    limit = min(options.batch_size or spec.max_batch_size, spec.max_batch_size) or 1
    group: list[Prepared] = []
    shapes: Any = None
    for sample in samples:
        prepared = _prepare(spec, sample, cast=options.cast)
        if isinstance(prepared, dict):
            own = [(name, array.shape) for name, array in prepared.items()]
            if shapes is not None and own != shapes:
                yield group
                group = []
            shapes = own
        group.append(prepared)
        if len(group) == limit:
            yield group
            group, shapes = [], None
    if group:
        yield group


def _prepare(spec: ModelSpec, sample: Any, *, cast: bool) -> Prepared:
    if isinstance(sample, InputError):
        return Refused(sample, sample)
    try:
        values = sample if isinstance(sample, Mapping) else {_only_input(spec): sample}
        if spec.max_batch_size:
            values = {name: with_batch_axis(value) for name, value in values.items()}
        return check_inputs(spec, values, cast=cast)
    except InputError as error:
        return Refused(sample, error)


def with_batch_axis(value: Any) -> Any:
    """A sample's value as a batch of one."""
    if isinstance(value, np.ndarray) and value.ndim:
        return value[np.newaxis]
    # A lone number or text already stands for a shape of all ones, the batch axis included.
    return [value] if isinstance(value, list | tuple) else value


def _only_input(spec: ModelSpec) -> str:
    required = [name for name, tensor in spec.inputs.items() if not tensor.optional]
    if len(required) != 1:
        names = ", ".join(repr(name) for name in spec.inputs)
        raise NameMismatchError(
            f"{spec.name} takes {names}; pass each sample as a mapping from input name to value", model=spec.name
        )
    return required[0]


def send(core: Core, builder: Builder, group: list[Prepared], options: MapOptions) -> Operation[list[Outcome]]:
    """Sends a group in one request; where the server refuses it, each sample alone, so that only the bad ones fail."""
    good = [prepared for prepared in group if isinstance(prepared, dict)]
    answers = iter((yield from _send_good(core, builder, good, options)) if good else ())
    outcomes: list[Outcome] = []
    for prepared in group:
        if isinstance(prepared, dict):
            outcomes.append(next(answers))
        else:
            outcomes.append((yield from _send_refused(core, builder, prepared, options)))
    return outcomes


def _send_refused(core: Core, builder: Builder, refused: Refused, options: MapOptions) -> Operation[Outcome]:
    """The answer to a sample that fits the model as it is by now, or else why it does not."""
    if isinstance(refused.sample, InputError):
        return refused.error
    model = builder.spec.name
    version = core.version(model, options.model_version)
    try:
        current = yield from core.refreshed(builder, model, version, Deadline(options.timeout_s))
    except MaasClientError:
        return refused.error
    if current is builder:
        return refused.error
    prepared = _prepare(current.spec, refused.sample, cast=options.cast)
    if isinstance(prepared, Refused):
        return prepared.error
    outcomes: list[Outcome] = yield from _send_good(core, current, [prepared], options)
    return outcomes[0]


def _send_good(
    core: Core, builder: Builder, good: list[dict[str, Array]], options: MapOptions
) -> Operation[list[Outcome]]:
    inputs = good[0] if len(good) == 1 else {name: np.concatenate([one[name] for one in good]) for name in good[0]}
    asked = Asked(inputs, options.outputs)
    deadline = Deadline(options.timeout_s)
    try:
        answer = yield from core.infer(builder.spec.name, asked, model_version=options.model_version, deadline=deadline)
        return list(rows_of(answer, len(good))) if builder.spec.max_batch_size else [answer]
    except MaasClientError as error:
        if len(good) == 1 or not isinstance(error, InvalidRequestError | InternalServerError):
            return [error] * len(good)
    outcomes: list[Outcome] = []
    for one in good:
        outcomes += yield from _send_good(core, builder, [one], options)
    return outcomes


def rows_of(answer: InferResult, count: int) -> Iterator[InferResult]:
    """The answer to each of the samples that were sent as one batch, without the batch axis.

    Raises:
        BadAnswerError: the answer has another number of rows.
    """
    if any(array.ndim == 0 or len(array) != count for array in answer.outputs.values()):
        shapes = {name: array.shape for name, array in answer.items()}
        raise BadAnswerError(f"{answer.model_name}: {count} samples were sent, outputs of {shapes} came")
    for row in range(count):
        yield replace(answer, outputs={name: array[row] for name, array in answer.items()})


def told(outcomes: list[Outcome], bar: Bar, errors: str) -> Iterator[Outcome]:
    """Counts the outcomes; raises the first error among them where the caller wants that."""
    for outcome in outcomes:
        bar.advance()
        if errors == "raise" and isinstance(outcome, MaasClientError):
            raise outcome
        yield outcome
