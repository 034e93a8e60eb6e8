"""Predictions of models that do their own pre- and postprocessing: files, pictures and texts in, labels out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_client._map import Outcome
from maas_client._result import InferResult
from maas_client._spec import ModelSpec
from maas_client.errors import InputError, MaasClientError, RefusedValueError, ShapeMismatchError


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a classifier says of one picture or text.

    Attributes:
        label: the best label; "" where there is an error.
        score: its probability.
        labels: all labels that came, best first.
        scores: their probabilities.
        error: why there is no label; "" where there is one.
        model_name: the model that answered.
        model_version: the version that answered; 0 where none did.
    """

    label: str
    score: float
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    error: str = ""
    model_name: str = ""
    model_version: int = 0

    @classmethod
    def of(cls, outcome: Outcome, model: str) -> Prediction:
        """Reads the outputs ``label``, ``score`` and, where there is one, ``error`` of one sample."""
        if isinstance(outcome, MaasClientError):
            return cls("", 0.0, error=outcome.message, model_name=model)
        name, version = outcome.model_name, outcome.model_version
        error = "".join(outcome.text("error").ravel().tolist()) if outcome.is_text("error") else ""
        if error:
            return cls("", 0.0, error=error, model_name=name, model_version=version)
        labels = tuple(outcome.text("label").ravel().tolist())
        scores = tuple(outcome["score"].ravel().tolist())
        if not labels or not scores:
            return cls("", 0.0, error="the model gave no label", model_name=name, model_version=version)
        return cls(labels[0], scores[0], labels, scores, "", name, version)


def is_classifier(result: InferResult | ModelSpec) -> bool:
    """Whether the outputs ``label`` and ``score`` say what the whole picture or text is."""
    return {"label", "score"} <= result.outputs.keys() and not is_detector(result)


def is_detector(result: InferResult | ModelSpec) -> bool:
    """Whether the outputs ``label``, ``score`` and ``boxes`` say what is where in a picture."""
    return {"label", "score", "boxes"} <= result.outputs.keys()


def check_classifier(spec: ModelSpec) -> str:
    """The name of the one input that takes a picture or text.

    Raises:
        ShapeMismatchError: the model does not take one BYTES value, or does not give labels and scores.
    """
    required = [tensor for tensor in spec.inputs.values() if not tensor.optional]
    if not is_classifier(spec) or [tensor.datatype for tensor in required] != ["BYTES"]:
        raise ShapeMismatchError(
            f"predict wants a model with one BYTES input and outputs 'label' and 'score', {spec.name} takes "
            f"{_shown(spec.inputs)} and gives {_shown(spec.outputs)}; use infer",
            model=spec.name,
        )
    return required[0].name


def _shown(tensors: dict[str, Any]) -> str:
    return ", ".join(f"{tensor.name!r} ({tensor.datatype})" for tensor in tensors.values())


def to_value(item: Any) -> bytes | str:
    """A file's bytes for a :class:`~pathlib.Path`, PNG for a PIL picture; ``bytes`` and ``str`` as they are.

    Raises:
        RefusedValueError: the file cannot be read, or the item is none of these.
    """
    if isinstance(item, bytes | str):
        return item
    if isinstance(item, Path):
        try:
            return item.read_bytes()
        except OSError as error:
            raise RefusedValueError(
                f"{item} cannot be read: {error.strerror or error}; give a readable file"
            ) from error
    if hasattr(item, "save") and hasattr(item, "convert"):
        buffer = io.BytesIO()
        item.save(buffer, format="PNG")
        return buffer.getvalue()
    raise RefusedValueError(
        f"predict takes a Path, bytes, a PIL picture or a text, got {type(item).__name__}; use infer for arrays"
    )


class Values:
    """The values of items, each made when its turn comes; an item that cannot be read gives its error."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[bytes | str | InputError]:
        for item in self._items:
            try:
                yield to_value(item)
            except InputError as error:
                yield error
