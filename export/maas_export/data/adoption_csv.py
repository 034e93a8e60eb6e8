"""Adoption curves from a CSV file.

Wide: the first column holds years, each further one a curve. Long: the columns ``curve``, ``year`` and ``share``.
Shares are written as for ``adoption_preprocess``: ``12 %``, ``0.12``, or nothing where none is known.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array
from maas_export.python_models import load_module

_LONG = ("curve", "year", "share")
_FORM = "a CSV file with the columns year and one for each curve, or curve, year and share"


def read_curves(path: Path) -> dict[str, Array]:
    """Shares by curve, one a year from the first known to the last, NaN where missing.

    Raises:
        WrongUse: naming file, line and what is wrong with it.
    """
    rows = list(_rows(path))
    if len(rows) < 2:
        raise WrongUse(f"{path} holds no line below its heading" if rows else f"{path} is empty", f"give {_FORM}")
    (_, heading), *lines = rows
    names = [name.strip() for name in heading]
    for number, cells in lines:
        if len(cells) != len(names):
            raise WrongUse(f"{path}, line {number}: {len(cells)} cells, the heading has {len(names)}", "mend that line")
    lowered = [name.lower() for name in names]
    shares = _long_cells(path, lowered, lines) if set(_LONG) <= set(lowered) else _wide_cells(path, names, lines)
    curves: dict[str, list[tuple[int, float]]] = {}
    for number, name, year_text, text in shares:
        curve = curves.setdefault(name, [])
        year = _year(path, number, year_text)
        if curve and year != curve[-1][0] + 1:
            raise WrongUse(
                f"{path}, line {number}: {name!r} has {year} after {curve[-1][0]}",
                "give every year once, in order; leave the share empty where it is not known",
            )
        curve.append((year, _share(path, number, name, text)))
    trimmed = {name: _trimmed(np.array([share for _, share in curve], np.float32)) for name, curve in curves.items()}
    for name, values in trimmed.items():
        if not len(values):
            raise WrongUse(f"{path}: {name!r} has no known share", "leave that curve out")
    return trimmed


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is not empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}", f"give {_FORM}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WrongUse(
            f"{path}, line {line}: byte {content[error.start]:#04x} is no UTF-8", "save it as UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise WrongUse(f"{path}, line {reader.line_num}: {error}", "mend that line") from error


_Cell = tuple[int, str, str, str]
"""Line, curve, year and share."""


def _long_cells(path: Path, names: list[str], lines: list[tuple[int, list[str]]]) -> Iterator[_Cell]:
    curve, year, share = (names.index(name) for name in _LONG)
    for number, cells in lines:
        if not cells[curve].strip():
            raise WrongUse(f"{path}, line {number}: the curve has no name", "name it in the column curve")
        yield number, cells[curve].strip(), cells[year], cells[share]


def _wide_cells(path: Path, names: list[str], lines: list[tuple[int, list[str]]]) -> Iterator[_Cell]:
    curves = names[1:]
    if names[0].lower() != "year" or not curves:
        raise WrongUse(f"{path}, line 1: the columns are {', '.join(names)}", f"give {_FORM}")
    if len(set(curves)) < len(curves) or "" in curves:
        raise WrongUse(f"{path}, line 1: two columns have one name, or one has none", "name every curve differently")
    for column, name in enumerate(curves, 1):
        for number, cells in lines:
            yield number, name, cells[0], cells[column]


def _year(path: Path, line: int, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise WrongUse(f"{path}, line {line}: {text.strip()!r} is no year", "write it as 2017") from None


def _share(path: Path, line: int, name: str, text: str) -> float:
    shares = load_module("adoption_preprocess", "shares")
    try:
        value = shares.read_share(text.encode())
    except shares.ItemError as error:
        raise WrongUse(f"{path}, line {line}, {name!r}: {error}", "mend that cell") from error
    return float("nan") if value is None else value


def _trimmed(values: Array) -> Array:
    """Without what is missing before the first known share and after the last."""
    known = np.flatnonzero(~np.isnan(values))
    return values[known[0] : known[-1] + 1] if len(known) else values[:0]
