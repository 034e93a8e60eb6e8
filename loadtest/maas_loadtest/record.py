"""Traffic that really was, as a trace: from the gateway's metering lines, or from Triton's own verbose log."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from maas_core.errors import WrongUse
from maas_core.names import is_model_name
from maas_loadtest.traces import PROTOCOLS, Trace, TracedRequest

_PREPARED = re.compile(
    r"prepared: \[.*?model: (?P<model>[^,]+), requested version: (?P<version>-?\d+), .*?"
    r"correlation id: (?P<sequence>[^,]*), batch size: (?P<items>\d+)"
)
_SHORT_TIME = re.compile(r"[A-Z](\d{2})(\d{2}) (\d{2}:\d{2}:\d{2}\.\d{6}) ")
"""Triton's default: severity, month, day, and local time in microseconds."""
_ISO_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z) ")
"""``--log-format=ISO8601``: whole seconds only."""
_LEAP_YEAR = 2000


@dataclass(frozen=True)
class Seen:
    """One request as a log tells it."""

    at: datetime
    model: str
    version: int = 0
    items: int = 1
    protocol: str = ""
    sequence: str = ""


@dataclass
class Traffic:
    """What a log holds.

    Attributes:
        requests: in the order of the log.
        left_out: how many lines were no load on a model, by reason.
        resolution_s: how exact the times are.
    """

    requests: list[Seen] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    resolution_s: float = 1e-3


def gateway_files(source: Path) -> list[Path]:
    """The metering lines below the state folder of a gateway, oldest first, or the one file that is named.

    Raises:
        WrongUse: there are none.
    """
    if source.is_file():
        return [source]
    folder = source / "usage" if (source / "usage").is_dir() else source
    found = [*sorted(folder.glob("requests-*.jsonl")), *folder.glob("requests.jsonl")]
    if not found:
        raise WrongUse(f"{source} holds no metering lines", "name the --state folder of `maas gateway`, or the file")
    return found


def read_gateway(files: Sequence[Path], since: datetime | None = None, until: datetime | None = None) -> Traffic:
    """The inferences that the gateway let through and that began in that time.

    Raises:
        WrongUse: a file cannot be read, or a line is none that the gateway writes; the message names it.
    """
    traffic = Traffic()
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            seen = _metered(line, f"{path}, line {number}", traffic.left_out)
            if seen is None:
                continue
            if (since is None or seen.at >= since) and (until is None or seen.at < until):
                traffic.requests.append(seen)
    return traffic


def read_triton_log(path: Path, skip_bytes: int = 0) -> Traffic:
    """The requests in the log of a Triton that runs with ``--log-verbose=1``, ensembles' steps among them.

    Args:
        path: of the log.
        skip_bytes: where to begin.

    Raises:
        WrongUse: the log cannot be read, or tells of no request.
    """
    traffic = Traffic(resolution_s=1e-6)
    for line in _lines(path, skip_bytes):
        found = _PREPARED.search(line)
        if found is None:
            continue
        at = _time_of(line)
        if at is None or not is_model_name(found["model"]):
            traffic.left_out["unreadable"] += 1
            continue
        if not at.microsecond and _ISO_TIME.match(line):
            traffic.resolution_s = 1.0
        sequence = found["sequence"] if found["sequence"] != "0" else ""
        version = max(0, int(found["version"]))
        traffic.requests.append(Seen(at, found["model"], version, max(1, int(found["items"])), "", sequence))
    if not traffic.requests and not skip_bytes:
        raise WrongUse(
            f"{path} tells of no request",
            "Triton writes requests to its log with --log-verbose=1, and then all of them",
        )
    if traffic.resolution_s == 1.0:
        traffic.requests = list(_spread(traffic.requests))
    return traffic


def make_trace(traffic: Traffic, about: Mapping[str, Any], models: Collection[str] = ()) -> Trace:
    """The trace of that traffic, its first request at 0 s.

    Args:
        traffic: what a log holds.
        about: for the header.
        models: only these; all by default.

    Raises:
        WrongUse: nothing is left.
    """
    kept = sorted((one for one in traffic.requests if not models or one.model in models), key=lambda one: one.at)
    if not kept:
        seen = sorted({one.model for one in traffic.requests})
        there = f"there were requests to {', '.join(seen)}" if seen else "there was no request in that time"
        raise WrongUse(f"nothing to record: {there}", "record while there is traffic, or name another --model")
    start = kept[0].at
    requests = [
        TracedRequest((one.at - start).total_seconds(), one.model, one.version, one.items, one.protocol, one.sequence)
        for one in kept
    ]
    told = {**about, "began_at": start.isoformat(), "resolution_s": traffic.resolution_s}
    return Trace(requests, told)


def _lines(path: Path, skip_bytes: int = 0) -> Iterator[str]:
    """Whole lines; what is being written at this moment is left out."""
    try:
        with path.open("rb") as file:
            file.seek(skip_bytes)
            for line in file:
                if line.endswith(b"\n"):
                    yield line.decode(errors="replace")
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror or error}") from error


def _metered(line: str, where: str, left_out: Counter[str]) -> Seen | None:
    try:
        document = json.loads(line)
        if document["kind"] != "infer":
            left_out[document["kind"] or "no inference"] += 1
            return None
        # What the gateway refused was no load on the server.
        if document.get("refused") or not document["model"]:
            left_out["refused"] += 1
            return None
        at = datetime.fromisoformat(document["at"])
        version, items = (int(document.get(name) or 0) for name in ("asked_version", "items"))
        protocol, sequence = document.get("protocol") or "", str(document.get("sequence") or "")
    except (ValueError, KeyError, TypeError) as error:
        raise WrongUse(f"{where}: no metering line of the gateway ({type(error).__name__}: {error})") from error
    if at.tzinfo is None or not is_model_name(document["model"]):
        raise WrongUse(f"{where}: no metering line of the gateway: at {document['at']}, model {document['model']!r}")
    return Seen(at, document["model"], version, max(1, items), protocol if protocol in PROTOCOLS else "", sequence)


def _time_of(line: str) -> datetime | None:
    if found := _ISO_TIME.match(line):
        return datetime.fromisoformat(found[1])
    if found := _SHORT_TIME.match(line):
        # Without a year; any will do, as only distances count. A leap year has every day.
        text = f"{_LEAP_YEAR}-{found[1]}-{found[2]}T{found[3]}+00:00"
        return datetime.fromisoformat(text)
    return None


def _spread(requests: Sequence[Seen]) -> Iterator[Seen]:
    """Requests of the same second at even distances within it, as nothing more is known."""
    in_second = Counter(one.at for one in requests)
    placed: Counter[datetime] = Counter()
    for one in requests:
        offset = timedelta(seconds=placed[one.at] / in_second[one.at])
        placed[one.at] += 1
        yield Seen(one.at + offset, one.model, one.version, one.items, one.protocol, one.sequence)


def now() -> datetime:
    """The wall clock, as the gateway's lines have it."""
    return datetime.now(UTC)
