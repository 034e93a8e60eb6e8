"""What a call returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from maas_client._calls import ParameterValue
from maas_client._dtypes import Array
from maas_client.errors import BadAnswerError, DatatypeMismatchError


class Timing(NamedTuple):
    """Where a call's time went, in seconds of the monotonic clock.

    Attributes:
        check_s: describing the model (first call only) and checking the inputs.
        exchange_s: from the first byte built to the last output decoded, waits between attempts included.
        attempts: how many times the request was sent.
    """

    check_s: float
    exchange_s: float
    attempts: int = 1

    @property
    def total_s(self) -> float:
        """The whole call."""
        return self.check_s + self.exchange_s


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class of an output that was asked for with ``class_count``.

    Attributes:
        score: the output's value there.
        index: its place in the output.
        label: its name, "" where the server knows none.
    """

    score: float
    index: int
    label: str = ""

    @classmethod
    def parse(cls, model: str, text: str) -> ClassScore:
        """Reads ``score:index`` or ``score:index:label`` (Triton's "classification extension").

        Raises:
            BadAnswerError: it is neither.
        """
        score, _, rest = text.partition(":")
        index, _, label = rest.partition(":")
        try:
            return cls(float(score), int(index), label)
        except ValueError as error:
            raise BadAnswerError(f"{model}: {text[:40]!r} is no class; ask with class_count=") from error


_NOT_TIMED = Timing(0.0, 0.0)


# Not frozen: that makes it four times as slow to make, which a small request feels.
@dataclass(slots=True, eq=False)
class InferResult(Mapping[str, Array]):
    """The outputs of one call: a mapping from output name to numpy array (writable, its own memory).

    BYTES outputs are object arrays of ``bytes``; BF16 outputs are float32.

    Attributes:
        outputs: the arrays by name.
        model_name: the model that answered.
        model_version: the version that answered, also when none was asked for.
        request_id: as given with the request, or "".
        parameters: the response's own parameters.
        timing: where the time went.
        digest: the SHA-256 of the version that answered, as `maas publish` recorded it; "" where the server does not
            tell it.
    """

    outputs: Mapping[str, Array]
    model_name: str
    model_version: int
    request_id: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    timing: Timing = _NOT_TIMED
    digest: str = ""

    def __getitem__(self, name: str) -> Array:
        try:
            return self.outputs[name]
        except KeyError:
            raise KeyError(f"{self.model_name} gave {list(self.outputs)}, not {name!r}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def batch_size(self) -> int:
        """Rows of the first output; 0 where it has no axis."""
        return next((len(array) for array in self.outputs.values() if array.ndim), 0)

    def text(self, name: str) -> Array:
        """A BYTES output as an object array of ``str`` (UTF-8; bytes that are none become U+FFFD).

        Raises:
            DatatypeMismatchError: the output holds no text.
        """
        array = self[name]
        if array.dtype.kind != "O":
            raise DatatypeMismatchError(
                f"{self.model_name}: {name!r} holds {array.dtype}, not text; use result[{name!r}]",
                model=self.model_name,
            )
        decoded = np.empty(array.size, np.object_)
        decoded[:] = [element.decode("utf-8", "replace") for element in array.ravel().tolist()]
        return decoded.reshape(array.shape)

    def is_text(self, name: str) -> bool:
        """Whether there is such an output and it is of BYTES."""
        return name in self.outputs and self.outputs[name].dtype.kind == "O"

    def classes(self, name: str) -> list[list[ClassScore]]:
        """The best classes of an output that was asked for with ``class_count``: a list for each row, best first.

        Raises:
            BadAnswerError: the output does not hold classes.
        """
        texts = self.text(name) if self[name].dtype.kind == "O" else None
        if texts is None:
            raise BadAnswerError(f"{self.model_name}: {name!r} holds values, not classes; ask with class_count=")
        rows = texts.reshape(-1, texts.shape[-1]) if texts.ndim else texts.reshape(1, 1)
        return [[ClassScore.parse(self.model_name, text) for text in row] for row in rows.tolist()]


def joined(results: Sequence[InferResult]) -> InferResult:
    """One result of the parts of a split batch: rows in order, times of the slowest part, attempts of all."""
    first = results[0]
    outputs = {name: np.concatenate([result[name] for result in results]) for name in first}
    timing = Timing(
        max(result.timing.check_s for result in results),
        max(result.timing.exchange_s for result in results),
        sum(result.timing.attempts for result in results),
    )
    return replace(first, outputs=outputs, timing=timing)
