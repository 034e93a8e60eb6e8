"""What an example program sends: the call of ``CatalogueModel.example``, sorted into what a program needs to know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maas_core.spec import TensorSpec
from maas_export.catalogue import CatalogueModel, is_stateful

Kind = Literal["infer", "sequence", "stream"]
Form = Literal["file", "text", "numbers", "series"]

_ERROR_OUTPUT = "error"
"""Not asked for: why the only item of a request cannot be used is the error of the whole request."""
_STREAMED_OUTPUT = "text"


@dataclass(frozen=True)
class Argument:
    """The one input that a program takes from its command line.

    Attributes:
        tensor: the input.
        form: ``file``: a file's bytes; ``text``; ``numbers``: a JSON file with the tensor, batch axis and all;
            ``series``: the last column of a CSV file with a heading, one value for each step of a sequence.
        default: the text itself, or the file's path within the project.
    """

    tensor: TensorSpec
    form: Form
    default: str

    @property
    def placeholder(self) -> str:
        """How the usage of a program calls it."""
        suffix = {"numbers": ".json", "series": ".csv"}.get(self.form, "")
        return self.tensor.name.upper() + suffix


@dataclass(frozen=True)
class ExampleCall:
    """One call of one model.

    Attributes:
        kind: one request with one answer, a sequence of such requests, or one request with a stream of answers.
        further: the values of all other inputs.
        outputs: what is shown.
        is_batched: whether the model's tensors have a batch axis.
    """

    model: str
    summary: str
    kind: Kind
    argument: Argument
    further: tuple[tuple[TensorSpec, Any], ...]
    outputs: tuple[TensorSpec, ...]
    is_batched: bool

    def inputs_around_argument(self) -> tuple[str, str]:
        """The inputs of the Open Inference Protocol as JSON, before and after the value of the argument.

        The value is the size of the binary data for a file, and what ``data`` holds for all others.
        """
        hole = "\0"
        form = self.argument.form
        value = {"parameters": {"binary_data_size": hole}} if form == "file" else {"data": hole}
        described = {
            "name": self.argument.tensor.name,
            "datatype": self.argument.tensor.datatype,
            "shape": self._shape(self._argument_dims()),
            **value,
        }
        others = [
            {"name": tensor.name, "datatype": tensor.datatype, "shape": self._shape(_dims(value)), "data": value}
            for tensor, value in self.further
        ]
        before, after = json.dumps([described, *others]).split(json.dumps(hole))
        return before, after

    def outputs_json(self) -> str:
        """The outputs of the Open Inference Protocol as JSON."""
        return json.dumps([{"name": output.name} for output in self.outputs])

    def streamed_output(self) -> TensorSpec:
        """The output of a stream whose texts are joined."""
        return next(output for output in self.outputs if output.name == _STREAMED_OUTPUT)

    def nested(self, value: str) -> str:
        """The source text ``value`` as the only element of a tensor [1], or [1, 1] with a batch axis."""
        return f"[[{value}]]" if self.is_batched else f"[{value}]"

    def with_batch_axis(self, value: Any) -> list[Any]:
        """A further value as a tensor: a number or a text is [1], and a batch axis comes before it."""
        listed = value if isinstance(value, list) else [value]
        return [listed] if self.is_batched else listed

    def _argument_dims(self) -> Sequence[int]:
        if self.argument.form != "numbers":
            return [1]
        sizes = _dims(json.loads(Path(self.argument.default).read_text(encoding="utf-8")))
        return sizes[1:] if self.is_batched else sizes

    def _shape(self, dims: Sequence[int]) -> list[int]:
        return [1, *dims] if self.is_batched else list(dims)


def example_call(model: CatalogueModel) -> ExampleCall | None:
    """The call of the model's example; ``None`` for a model without one.

    Raises:
        ValueError: where the example fits none of the forms that a program can take.
    """
    if not model.example:
        return None
    kind: Kind = "stream" if model.spec.decoupled else "sequence" if is_stateful(model) else "infer"
    given = [(tensor, model.example[tensor.name]) for tensor in model.spec.inputs if tensor.name in model.example]
    first = next((pair for pair in given if isinstance(pair[1], str | Path)), None)
    if first is None:
        raise ValueError(f"the example of {model.name} has neither a text nor a file")
    tensor, value = first
    return ExampleCall(
        model=model.name,
        summary=model.spec.summary,
        kind=kind,
        argument=Argument(tensor, _form(tensor, value, kind), value.as_posix() if isinstance(value, Path) else value),
        further=tuple(pair for pair in given if pair is not first),
        outputs=tuple(output for output in model.spec.outputs if output.name != _ERROR_OUTPUT),
        is_batched=model.spec.serving.max_batch_size > 0,
    )


def _form(tensor: TensorSpec, value: str | Path, kind: Kind) -> Form:
    if isinstance(value, str):
        return "text"
    if kind == "sequence":
        return "series"
    return "file" if tensor.datatype == "BYTES" else "numbers"


def _dims(value: Any) -> list[int]:
    """The sizes of a nested list; a number or a text is one element."""
    if not isinstance(value, list):
        return [1]
    return [len(value), *(_dims(value[0]) if value and isinstance(value[0], list) else [])]
