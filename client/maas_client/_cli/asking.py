"""Items sent to a model, each with its answer or its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_client._cli.items import Item, Target
from maas_client._cli.observations import Observation, read_observations
from maas_client._client import Client
from maas_client._map import Outcome, rows_of
from maas_client._result import InferResult
from maas_client.errors import InputError, MaasClientError, ShapeMismatchError


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one item.

    Attributes:
        item: what was asked about.
        result: the answer; None where there is an error.
        error: why there is no answer, or "".
        is_batch: whether the answer has a batch axis.
        observations: the steps of a sequence; empty for other items.
    """

    item: Item
    result: InferResult | None
    error: str = ""
    is_batch: bool = False
    observations: Sequence[Observation] = ()

    def samples(self) -> list[tuple[str, InferResult]]:
        """The answers without a batch axis, and what each is called.

        Raises:
            BadAnswerError: the outputs have different numbers of rows.
        """
        if self.result is None:
            return []
        if not self.is_batch:
            return [(self.item.shown, self.result)]
        rows = list(rows_of(self.result, self.result.batch_size))
        if len(rows) == 1:
            return [(self.item.shown, rows[0])]
        return [(f"{self.item.shown}[{number}]", row) for number, row in enumerate(rows)]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a model.

    Attributes:
        target: the model and the values of its further inputs.
        outputs: the outputs wanted; empty is all.
        model_version: None lets the server choose.
        column: of CSV files.
    """

    target: Target
    outputs: tuple[str, ...] = ()
    model_version: int | None = None
    column: str | None = None

    @property
    def model(self) -> str:
        """The model's name."""
        return self.target.spec.name


class _Samples:
    """What :meth:`maas_client.Client.map` is to send; an item that cannot be read is its error."""

    def __init__(self, target: Target, items: Sequence[Item]) -> None:
        self._target = target
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[dict[str, Any] | InputError]:
        for item in self._items:
            try:
                yield self._target.sample(item)
            except InputError as error:
                yield error


def ask_items(client: Client, question: Question, items: Sequence[Item]) -> Iterator[Answered]:
    """Pictures and texts go several at a time, files of arrays one after another; answers come in order.

    Raises:
        MaasClientError: the model is not there.
    """
    singles = [item for item in items if not item.is_arrays]
    outcomes = client.map(
        question.model,
        _Samples(question.target, singles),
        outputs=question.outputs or None,
        model_version=question.model_version,
        errors="return",
    )
    with closing(outcomes):
        for item in items:
            if item.is_arrays:
                yield _ask_arrays(client, question, item)
            else:
                yield _answered(item, next(outcomes))


def _answered(item: Item, outcome: Outcome) -> Answered:
    if isinstance(outcome, MaasClientError):
        return Answered(item, None, outcome.message)
    return Answered(item, outcome)


def _ask_arrays(client: Client, question: Question, item: Item) -> Answered:
    try:
        answer = client.infer(
            question.model,
            question.target.request(item),
            outputs=question.outputs or None,
            model_version=question.model_version,
        )
    except MaasClientError as error:
        return Answered(item, None, error.message)
    return Answered(item, answer, is_batch=question.target.spec.max_batch_size > 0)


def ask_sequences(client: Client, question: Question, items: Sequence[Item]) -> Iterator[Answered]:
    """Sends each file as one sequence, observation by observation; the answer to the last one counts."""
    for item in items:
        try:
            steps = sequence_steps(question.target, item, question.column)
            observations = [] if item.is_arrays else read_observations(item, question.column)
        except InputError as error:
            yield Answered(item, None, error.message)
        else:
            yield _ask_sequence(client, question, item, observations, steps)


def sequence_steps(target: Target, item: Item, column: str | None) -> list[tuple[str, Mapping[str, Any]]]:
    """The request of each step and where it stands in the file; the first axis of arrays is the step.

    Raises:
        InputError: the file cannot be read, or a value does not fit the model's input.
    """
    if item.is_arrays:
        request = target.request(item)
        count = _step_count(target, item, request)
        return [
            (f"step {step}", {name: v if name in target.given else v[step : step + 1] for name, v in request.items()})
            for step in range(count)
        ]
    tensor = target.only_input(item.shown)
    return [
        (f"line {one.line}", target.batched({**target.given, tensor.name: one.value(tensor)}))
        for one in read_observations(item, column)
    ]


def _step_count(target: Target, item: Item, request: Mapping[str, Any]) -> int:
    """The length of the first axis of all inputs.

    Raises:
        ShapeMismatchError: one has no such axis, or they differ.
    """
    counts = {
        name: len(values) if isinstance(values, list) else (np.shape(values) or (0,))[0]
        for name, values in request.items()
        if name not in target.given
    }
    if len(set(counts.values())) != 1 or 0 in counts.values():
        got = ", ".join(f"{count} of {name!r}" for name, count in counts.items()) or "no input"
        raise ShapeMismatchError(
            f"{item.shown}: a sequence wants the same number of steps, at least 1, of each input, got {got}; pass "
            "lists or arrays of equal length",
            model=target.spec.name,
        )
    return next(iter(counts.values()))


def _ask_sequence(
    client: Client,
    question: Question,
    item: Item,
    observations: Sequence[Observation],
    steps: Sequence[tuple[str, Mapping[str, Any]]],
) -> Answered:
    result: InferResult | None = None
    where = ""
    try:
        with client.sequence(question.model, model_version=question.model_version) as sequence:
            for number, (where, values) in enumerate(steps, 1):
                result = sequence.infer(values, outputs=question.outputs or None, last=number == len(steps))
                if reason := error_text(result):
                    return Answered(item, None, f"{where}: {reason}")
    except MaasClientError as error:
        return Answered(item, None, f"{where}: {error.message}")
    if result is None:
        return Answered(item, None, "no step was found in it")
    return Answered(item, result, is_batch=question.target.spec.max_batch_size > 0, observations=observations)


def error_text(result: InferResult) -> str:
    """What the model's output ``error`` says, or ""; numbers of that name are an output like any other."""
    return "".join(result.text("error").ravel().tolist()) if result.is_text("error") else ""
