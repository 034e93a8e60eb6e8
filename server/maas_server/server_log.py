"""Reading ``tritonserver``'s log: the true reasons, which its APIs often leave out."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r"^\S+ (?P<level>[IWEF]) \d+ (?P<source>[\w.]+:\d+)\] \"?(?P<text>.*?)\"?$")
_LOADING = re.compile(r'"loading: (?P<model>[^:"]+):(?P<version>\d+)"')
_DONE = re.compile(r"\"(?:successfully loaded|failed to load) '(?P<model>[^']+)'")
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (?P<library>\S+):")
_TAIL_BYTES = 256 * 1024


def read_log(path: Path, start: int = 0) -> str:
    """The log from byte ``start`` on, at most its last 256 KiB."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_error(text: str) -> str | None:
    """The last error line, one line, without time and place."""
    lines = text.splitlines()
    for line in reversed(lines):
        match = _LINE.match(line)
        if match and match["level"] in "EF":
            return one_line(match["text"])
    return one_line(lines[-1]) if lines else None


def unfinished_models(text: str) -> list[str]:
    """The models whose loading began and did not end."""
    pending: dict[str, None] = {}
    for line in text.splitlines():
        begun, done = _LOADING.search(line), _DONE.search(line)
        if begun:
            pending[begun["model"]] = None
        if done:
            pending.pop(done["model"], None)
    return list(pending)


def missing_library(text: str) -> str | None:
    """The shared library that the dynamic linker did not find, where that is what went wrong."""
    match = _MISSING_LIBRARY.search(text)
    return match["library"] if match else None


def one_line(reason: str) -> str:
    """Triton's reason without the Python traceback that may follow, on one line."""
    text = reason.replace("\\n", "\n").partition("\n\nAt:\n")[0]
    return " ".join(text.split()).removeprefix("Internal: ").rstrip(" ;")
