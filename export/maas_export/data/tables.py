"""Tables of the user: CSV or TSV with a header, UTF-8; every mistake is told with file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_core.errors import WrongUse

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class TableRow:
    """One row: the wanted columns by name, and where it stands, as ``FILE, line N``."""

    place: str
    values: dict[str, str]


def read_table(path: Path, columns: Sequence[str]) -> list[TableRow]:
    """The rows of a ``.csv`` or ``.tsv`` file; columns beside the wanted ones are left out.

    Raises:
        WrongUse: where the file is missing, empty, not UTF-8 or damaged, a column is missing, or a row is broken.
    """
    delimiter = _DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise WrongUse(f"{path} is neither a .csv nor a .tsv file", f"give a table with the columns {_listed(columns)}")
    records = csv.reader(io.StringIO(_text_of(path), newline=""), delimiter=delimiter, strict=True)
    header = _next_record(records, path)
    if header is None:
        raise WrongUse(f"{path} is empty", f"its first line must name the columns {_listed(columns)}")
    names = [name.strip() for name in header]
    missing = [name for name in columns if name not in names]
    if missing:
        raise WrongUse(
            f"{path}, line 1 names the columns {', '.join(names)}; {_listed(missing)} is not among them",
            f"the first line must name {_listed(columns)}",
        )
    rows = []
    while True:
        place = f"{path}, line {records.line_num + 1}"
        record = _next_record(records, path)
        if record is None:
            break
        if not record:
            continue
        if len(record) != len(names):
            raise WrongUse(f"{place} has {len(record)} fields, the header names {len(names)}", "mend that line")
        values = dict(zip(names, record, strict=True))
        rows.append(TableRow(place, {name: values[name] for name in columns}))
    if not rows:
        raise WrongUse(f"{path} holds no row below its header", "give a row for each sample")
    return rows


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise WrongUse(f"there is no file {path}", "give a .csv or .tsv file") from error
    except OSError as error:
        raise WrongUse(f"{path} cannot be read ({error.strerror})", "give a .csv or .tsv file") from error
    for number, line in enumerate(data.split(b"\n"), 1):
        if b"\0" in line:
            raise WrongUse(f"{path}, line {number} holds a NUL byte", "give plain text in UTF-8")
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WrongUse(
                f"{path}, line {number} is not UTF-8 (byte 0x{line[error.start]:02x})", "save the file as UTF-8"
            ) from error
    return data.decode("utf-8-sig")


def _next_record(records: Iterator[list[str]], path: Path) -> list[str] | None:
    try:
        return next(records, None)
    except csv.Error as error:
        line = getattr(records, "line_num", "?")
        raise WrongUse(f"{path}, line {line}: {error}", "mend that line") from error


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
