"""Reading ``tritonserver``'s log: the true reasons, which its APIs often leave out."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r"^\S+ (?P<level>[IWEF]) \d+ (?P<source>[\w.]+:\d+)\] \"?(?P<text>.*?)\"?$")
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: (?P<library>\S+):")
_UNCAUGHT = re.compile(
    r"^terminate called after throwing an instance of '(?P<type>.+)'(?:\n\s+what\(\):\s+(?P<text>.+))?", re.M
)
_CONFIG_ERROR = re.compile(r"Error parsing text-format inference\.ModelConfig: (?P<text>.*)")
_LOADING = re.compile(r'"loading: (?P<model>[^:"]+):\d+"')
_DONE = re.compile(r"\"(?:successfully loaded|failed to load) '(?P<model>[^']+)'\"")
_POLL_FAILURE = re.compile(r"Poll failed for model directory '(?P<model>[^']+)': (?P<text>.*?)\"?$")
_ENSEMBLE_FAILURE = re.compile(r"\"Invalid argument: (?P<text>ensemble '?(?P<model>[\w.-]+)'? contains .*?)\"?$")
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
    """The last error line, one line, without time and place; where there is none, the last line."""
    lines = text.splitlines()
    for line in reversed(lines):
        match = _LINE.match(line)
        if match and match["level"] in "EF":
            return one_line(match["text"])
    return one_line(lines[-1]) if lines else None


def uncaught_exception(text: str) -> str | None:
    """The C++ exception that ended the server (SIGABRT), if any; the C++ runtime writes it without level and time."""
    found = list(_UNCAUGHT.finditer(text))
    if not found:
        return None
    kind, words = found[-1]["type"], found[-1]["text"]
    return f"{kind}: {words}" if words and words != kind else kind


def unfinished_models(text: str) -> frozenset[str]:
    """The models whose loading began and did not end."""
    pending = set()
    for line in text.splitlines():
        begun, done = _LOADING.search(line), _DONE.search(line)
        if begun:
            pending.add(begun["model"])
        if done:
            pending.discard(done["model"])
    return frozenset(pending)


def missing_library(text: str) -> str | None:
    """The shared library that the dynamic linker did not find, where that is what went wrong."""
    match = _MISSING_LIBRARY.search(text)
    return match["library"] if match else None


def poll_failure(text: str, model: str) -> str | None:
    """Why Triton could not read a model's folder, the last time that it looked.

    A fault in ``config.pbtxt`` stands, with line and column, in a line of protobuf's own before the one that names the
    model; no API tells it.
    """
    config_error = found = None
    for line in text.splitlines():
        parsing, failure = _CONFIG_ERROR.search(line), _POLL_FAILURE.search(line) or _ENSEMBLE_FAILURE.search(line)
        if parsing:
            config_error = f"config.pbtxt:{parsing['text']}".rstrip(".")
        if failure:
            if failure["model"] == model:
                found = config_error or failure["text"]
            config_error = None
    return found


def one_line(reason: str) -> str:
    """Triton's reason on one line, without the Python traceback that may follow."""
    text = reason.replace("\\n", "\n").partition("\n\nAt:\n")[0]
    return " ".join(text.split()).rstrip(" ;")
