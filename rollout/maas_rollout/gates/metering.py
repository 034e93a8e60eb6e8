"""Reading the gateway's metering lines: one JSON object for each request, appended while we read, and rotated."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

Side = Literal["stable", "candidate"]

PATTERN = "requests*.jsonl*"
_COMPRESSED = (".gz", ".zst")
_SERVER_ERROR = 500
_CALLER_ERROR = 400
_AT_THE_GATEWAY = frozenset({401, 403, 413, 415, 429, 431})
_GRPC_SERVER_ERRORS = frozenset({2, 4, 8, 13, 14, 15})
"""UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAVAILABLE, DATA_LOSS (grpc/status.h)."""
_GRPC_AT_THE_GATEWAY = frozenset({1, 7, 16})
"""CANCELLED by the caller, PERMISSION_DENIED, UNAUTHENTICATED."""
_SMALL_BYTES = 1 << 16
_DISORDER_S = 120.0
"""Lines are written when requests end and say when they began: so far they may be out of order."""
_CALLER_LEFT = "DC"
"""Envoy's response flag for a connection that the caller ended."""


@dataclass(frozen=True)
class Request:
    """One request that a server answered, or failed to answer.

    Attributes:
        at_s: when it ended, seconds since the epoch.
        stratum: requests that may be compared with each other: alike in protocol and in size.
        side: the server that the split chose for it.
        latency_ms: of the server where the gateway tells it, otherwise of the whole request.
        failed: the server failed it, or its first attempt.
        refused: the server found fault with the request.
    """

    at_s: float
    side: Side
    stratum: tuple[str, int]
    latency_ms: float
    items: int
    failed: bool
    refused: bool


class LineReader:
    """Yields each line of a growing file of JSON objects once, also while the file is rotated.

    Args:
        folder: where it lies.
        pattern: its name and those that it is rotated to.
        since_s: files that were last written before are not opened, seconds since the epoch.
    """

    def __init__(self, folder: Path, pattern: str, since_s: float) -> None:
        self._folder = folder
        self._pattern = pattern
        self._since_s = since_s
        self._offsets: dict[int, int] = {}
        self.unreadable = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """What was written since the last call; what is no JSON object is counted in ``unreadable``."""
        for line in self._new_lines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if isinstance(entry, dict):
                yield entry
            else:
                self.unreadable += 1

    def _new_lines(self) -> Iterator[bytes]:
        for path in sorted(self._folder.glob(self._pattern)):
            if path.suffix in _COMPRESSED:
                continue
            try:
                with path.open("rb") as file:
                    lines = self._rest_of(file)
            except FileNotFoundError:
                # Rotated away between listing and opening: its new name is read next time.
                continue
            yield from lines

    def _rest_of(self, file: BinaryIO) -> list[bytes]:
        status = os.fstat(file.fileno())
        offset = self._offsets.get(status.st_ino)
        if offset is None:
            offset = _offset_of(file, status.st_size, self._since_s - _DISORDER_S)
        # A number may come again for a new, shorter file.
        offset = offset if offset <= status.st_size else 0
        if status.st_mtime < self._since_s or status.st_size == offset:
            return []
        file.seek(offset)
        whole, newline, _ = file.read().rpartition(b"\n")
        # A line that is still being written is read when it is whole.
        self._offsets[status.st_ino] = offset + len(whole) + len(newline)
        return whole.splitlines()


def _offset_of(file: BinaryIO, size: int, at_s: float) -> int:
    """Where a line not long before ``at_s`` begins, by halving: a file of a day is not read for its last minute."""
    low, high = 0, size
    while high - low > _SMALL_BYTES:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        begins = file.tell()
        line = file.readline()
        if begins >= high or not line.endswith(b"\n") or _at_s(line) >= at_s:
            high = middle
        else:
            low = begins
    return low


def _at_s(line: bytes) -> float:
    """A line without a time counts as new: it is looked at."""
    try:
        return seconds(json.loads(line)["at"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class MeteringReader:
    """Reads the requests of one model from the metering lines.

    Args:
        folder: ``STATE/usage`` of the gateway.
        model: the name that is called.
        since_s: older ones are passed over, seconds since the epoch.
    """

    def __init__(self, folder: Path, model: str, since_s: float) -> None:
        self._lines = LineReader(folder, PATTERN, since_s)
        self._model = model
        self._since_s = since_s

    def new(self) -> list[Request]:
        """The requests that were written since the last call, in the order of their end."""
        found = (as_request(entry) for entry in self._lines.new() if entry.get("model") == self._model)
        return sorted((r for r in found if r is not None and r.at_s >= self._since_s), key=lambda r: r.at_s)


def as_request(entry: dict[str, Any]) -> Request | None:
    """A metering line as a request; ``None`` for one that says nothing of either server.

    That is one that no server had to answer, one whose caller left, and one whose caller named a version: it went to
    the server that has it, which no chance has chosen.
    """
    if entry.get("asked_version"):
        return None
    side = entry.get("aimed_at") or entry.get("side")
    if side not in ("stable", "candidate") or entry.get("kind", "infer") != "infer" or entry.get("refused"):
        return None
    status, grpc_status = _number(entry, "status"), _number(entry, "grpc_status")
    if status in _AT_THE_GATEWAY or grpc_status in _GRPC_AT_THE_GATEWAY or _CALLER_LEFT in (entry.get("flags") or ""):
        return None
    failed = status >= _SERVER_ERROR or status == 0 or grpc_status in _GRPC_SERVER_ERRORS
    # A further attempt, or an answer of the stable in place of the candidate, spares the caller the failure, no more.
    failed = failed or _number(entry, "attempts") > 1 or entry.get("side") != side
    duration_us = _number(entry, "duration_us")
    items = _number(entry, "items") or 1
    return Request(
        at_s=seconds(entry["at"]) + duration_us / 1e6,
        side=side,
        stratum=(entry.get("protocol") or "", items.bit_length()),
        latency_ms=(_number(entry, "upstream_us") or duration_us) / 1000,
        items=items,
        failed=failed,
        refused=not failed and (status >= _CALLER_ERROR or grpc_status != 0),
    )


def _number(entry: dict[str, Any], name: str) -> int:
    """Envoy writes what it does not know as null, and headers as text."""
    value = entry.get(name)
    return int(value) if value not in (None, "", "-") else 0


def seconds(at: str) -> float:
    """An ISO 8601 time in UTC as seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()
