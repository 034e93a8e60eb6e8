"""The trace format that ``maas load record`` writes and the replay scenario takes: JSON Lines, one request a line.

The first line may be a header, ``{"format": "maas-trace", "schema": 1, …}``; a trace written by hand needs none. Every
other line is one request: ``{"at_s": 0.0125, "model": "digits_cnn"}``, and where they are known ``version``, ``items``,
``protocol`` and ``sequence``. Lines stand in the order of their times, which count from the start of the trace.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas_core.errors import WrongUse
from maas_core.names import is_model_name

FORMAT = "maas-trace"
SCHEMA = 1
PROTOCOLS = ("http", "grpc")
_MOST_ITEMS = 1_000_000


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request of a trace.

    Attributes:
        at_s: seconds since the start of the trace at which it was sent, 0 or more.
        model: the name that was called.
        version: the version that was asked for; 0 where the caller left it to the server.
        items: rows of the request (its batch size), 1 or more.
        protocol: "http", "grpc", or "" where it is not known.
        sequence: the correlation id of a stateful model's sequence, or "". The first request with an id starts the
            sequence and the last one ends it.
    """

    at_s: float
    model: str
    version: int = 0
    items: int = 1
    protocol: str = ""
    sequence: str = ""

    def as_json(self) -> dict[str, Any]:
        """Only what is not a default, so that long traces stay small."""
        given: dict[str, Any] = {"at_s": round(self.at_s, 6), "model": self.model}
        if self.version:
            given["version"] = self.version
        if self.items != 1:
            given["items"] = self.items
        if self.protocol:
            given["protocol"] = self.protocol
        if self.sequence:
            given["sequence"] = self.sequence
        return given


@dataclass(frozen=True)
class Trace:
    """A whole trace.

    Attributes:
        requests: by rising time; never empty.
        about: further fields of the header: where and when it was recorded.
    """

    requests: Sequence[TracedRequest]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """From the start to the last request."""
        return self.requests[-1].at_s

    @property
    def models(self) -> list[str]:
        """The names that it calls, in the order in which they first come."""
        return list(dict.fromkeys(request.model for request in self.requests))


def read_trace(path: Path) -> Trace:
    """Reads a whole trace.

    Raises:
        WrongUse: the file cannot be read, holds no request, or a line is broken; the message names the line.
    """
    try:
        with path.open("rb") as lines:
            return parse_trace(lines, str(path))
    except OSError as error:
        raise WrongUse(f"the trace {path} cannot be read: {error.strerror or error}") from error


def parse_trace(lines: Iterable[bytes], name: str) -> Trace:
    """What :func:`read_trace` does with the lines of a file.

    Args:
        lines: UTF-8.
        name: of the file, for messages.

    Raises:
        WrongUse: a line is broken, or there is no request.
    """
    about: dict[str, Any] = {}
    requests: list[TracedRequest] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        document = _document(line, where)
        if "format" in document:
            if requests or about:
                raise WrongUse(f"{where}: a header comes only once, before all requests")
            about = _header(document, where)
            continue
        request = _request(document, where)
        if requests and request.at_s < requests[-1].at_s:
            raise WrongUse(
                f"{where}: at_s is {request.at_s:g}, before the {requests[-1].at_s:g} of the request above it",
                "sort the trace by at_s",
            )
        requests.append(request)
    if not requests:
        raise WrongUse(f"the trace {name} holds no request", "record for longer, or while there is traffic")
    return Trace(requests, about)


def write_trace(path: Path, trace: Trace) -> None:
    """Writes ``trace``; a file of that name is replaced once the new one is complete.

    Raises:
        WrongUse: the file cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in _lines(trace))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WrongUse(f"the trace {path} cannot be written: {error.strerror or error}") from error


def _lines(trace: Trace) -> Iterator[str]:
    yield json.dumps({**trace.about, "format": FORMAT, "schema": SCHEMA, "requests": len(trace.requests)})
    for request in trace.requests:
        yield json.dumps(request.as_json())


def _document(line: bytes, where: str) -> dict[str, Any]:
    try:
        # The literals NaN and Infinity are no JSON, but Python reads them.
        document = json.loads(line.decode(), parse_constant=lambda name: _refuse(f"{where}: {name} is no JSON"))
    except (ValueError, RecursionError) as error:
        raise WrongUse(f"{where}: not JSON ({error})", "a trace has one JSON object a line") from error
    if not isinstance(document, dict):
        raise WrongUse(f"{where}: a {type(document).__name__}, not an object", "a trace has one JSON object a line")
    return document


def _refuse(message: str) -> Any:
    raise WrongUse(message)


def _header(document: dict[str, Any], where: str) -> dict[str, Any]:
    if document["format"] != FORMAT or document.get("schema") != SCHEMA:
        raise WrongUse(
            f"{where}: wanted format {FORMAT!r}, schema {SCHEMA}; "
            f"got {document['format']!r}, schema {document.get('schema')!r}"
        )
    return {key: value for key, value in document.items() if key not in {"format", "schema", "requests"}}


def _request(document: dict[str, Any], where: str) -> TracedRequest:
    unknown = set(document) - set(TracedRequest.__slots__)
    if unknown:
        known = ", ".join(TracedRequest.__slots__)
        raise WrongUse(f"{where}: unknown field {sorted(unknown)[0]!r}", f"a request has {known}")
    at_s = document.get("at_s")
    if isinstance(at_s, bool) or not isinstance(at_s, int | float) or not 0 <= at_s < math.inf:
        raise WrongUse(f"{where}: at_s is to be a number of seconds, 0 or more; got {at_s!r}")
    model = document.get("model")
    if not isinstance(model, str) or not is_model_name(model):
        raise WrongUse(f"{where}: model is to be the name of a model; got {str(model)[:80]!r}")
    protocol, sequence = document.get("protocol", ""), document.get("sequence", "")
    if protocol not in ("", *PROTOCOLS):
        raise WrongUse(f"{where}: protocol is to be one of {', '.join(PROTOCOLS)}; got {protocol!r}")
    if not isinstance(sequence, str):
        raise WrongUse(f"{where}: sequence is to be text; got {sequence!r}")
    return TracedRequest(
        at_s=float(at_s),
        model=model,
        version=_count(document, "version", 0, 0, where),
        items=_count(document, "items", 1, 1, where),
        protocol=protocol,
        sequence=sequence,
    )


def _count(document: dict[str, Any], name: str, default: int, least: int, where: str) -> int:
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST_ITEMS:
        raise WrongUse(f"{where}: {name} is to be a whole number from {least} to {_MOST_ITEMS:,}; got {value!r}")
    return int(value)
