"""The observations of a sequence from a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from maas_client._cli.items import Item
from maas_client._spec import TensorSpec
from maas_client.errors import RefusedValueError


@dataclass(frozen=True, slots=True)
class Observation:
    """One step of a sequence.

    Attributes:
        line: where it stands in the file, from 1.
        text: as it stands there.
    """

    line: int
    text: str

    @property
    def number(self) -> float:
        """The share that it stands for: ``12 %`` is 0.12, what is missing or no number is NaN."""
        text = self.text.strip()
        try:
            return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            return math.nan

    def value(self, tensor: TensorSpec) -> str | float:
        """As the model's input takes it: text as it stands, or a number.

        Raises:
            RefusedValueError: it is no number.
        """
        if tensor.datatype == "BYTES":
            return self.text
        if not self.text.strip():
            raise RefusedValueError(
                f"line {self.line} is empty, a missing observation, which {tensor.name!r} ({tensor.datatype}) cannot "
                "hold; fill it in or remove the line"
            )
        try:
            return float(self.text) if tensor.datatype.startswith(("FP", "BF")) else int(self.text)
        except ValueError as error:
            text = f"line {self.line}: {self.text!r} is no {tensor.datatype} number; correct it"
            raise RefusedValueError(text) from error


def read_observations(item: Item, column: str | None) -> list[Observation]:
    """The observations of a CSV file, in its order; an empty line between two of them is a missing one.

    Args:
        item: the file, or standard input.
        column: the name of the column in the first line; None where the file has only one column. A first line that is
            no number is its heading then.

    Raises:
        RefusedValueError: it is no such file.
    """
    content = item.content()
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text.rstrip("\r\n")), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RefusedValueError(f"{item.shown} is no readable CSV file: {error}; pass UTF-8 text") from error
    if not any(row for _, row in rows):
        raise RefusedValueError(f"{item.shown} is empty; put one observation on each line")
    index = _column(item.shown, rows[0][1], column)
    if column is not None or _is_heading(rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise RefusedValueError(f"{item.shown} has a heading and no observations; put one on each line below it")
    return [Observation(line, _cell(item.shown, line, row, index)) for line, row in rows]


def _column(shown: str, first: Sequence[str], column: str | None) -> int:
    names = [name.strip() for name in first]
    if column is not None:
        if column not in names:
            raise RefusedValueError(f"{shown} has the columns {', '.join(names)}, not {column!r}; name one of them")
        return names.index(column)
    if len(names) > 1:
        raise RefusedValueError(f"{shown} has {len(names)} columns ({', '.join(names)}); name one with --column")
    return 0


def _is_heading(first: Sequence[str]) -> bool:
    text = "".join(first).strip()
    return bool(text) and math.isnan(Observation(1, text).number) and text.lower() not in {"nan", "na", "n/a", "-"}


def _cell(shown: str, line: int, row: Sequence[str], index: int) -> str:
    if not row:
        return ""
    if index >= len(row):
        raise RefusedValueError(f"{shown}, line {line} has {len(row)} column(s); it needs {index + 1}")
    return row[index]
