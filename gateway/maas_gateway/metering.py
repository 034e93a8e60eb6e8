"""The metering lines: what Envoy wrote about each request, read back, and the files rotated.

The newest lines stand in ``STATE/usage/requests.jsonl``; older ones in ``requests-YYYYMMDDTHHMMSSZ.jsonl`` beside it,
named by the time at which they were set aside.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from maas_core.errors import NotHeld
from maas_gateway.admission_settings import MIB, AdmissionSettings

_STAMP = "%Y%m%dT%H%M%SZ"
_OK = 200


def _whole(value: object) -> int:
    """0 for what is absent. Envoy writes headers as text."""
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else 0


Text = Annotated[str, BeforeValidator(lambda value: value or "")]
Number = Annotated[int, BeforeValidator(_whole)]


class RequestLine(BaseModel):
    """One request, as metered.

    Attributes:
        at: when its first byte came.
        tenant: whose key it was; empty where it was refused before that was known.
        key: id of the key.
        version: the one that answered; empty where none did.
        asked_version: the one that the caller named; empty where it left the choice to the gateway.
        side: who answered, ``stable`` or ``candidate``; empty where no server was asked.
        aimed_at: whom the split chose; the other one where the stable server answered for a failed candidate.
        status: HTTP status; 0 where the caller went away before an answer.
        grpc_status: None where none was sent, as over HTTP.
        duration_us: from the first byte of the request to the last of the answer.
        upstream_us: from the first byte to the server to the last byte from it.
        items: first dim of the first input; 0 where there was no inference.
        attempts: how often a server was asked: more than 1 means retries.
        kind: ``infer``, or ``probe`` for health and metadata.
        refused: why admission refused it, in one word; ``envoy`` for what was no HTTP that Envoy takes; empty where
            it was not refused.
        flags: Envoy's response flags, ``-`` for none.
    """

    model_config = ConfigDict(extra="ignore")

    at: datetime
    tenant: Text = ""
    key: Text = ""
    model: Text = ""
    version: Text = ""
    asked_version: Text = ""
    side: Text = ""
    aimed_at: Text = ""
    protocol: Text = ""
    status: Number
    grpc_status: int | None
    duration_us: Number
    upstream_us: Number = 0
    items: Number = 0
    bytes_in: Number
    bytes_out: Number
    attempts: Number
    kind: Text
    sequence: Text = ""
    refused: Text = ""
    flags: Text = ""

    @property
    def succeeded(self) -> bool:
        """Whether a server answered, and answered well."""
        return self.status == _OK and self.grpc_status in (None, 0) and not self.refused


def request_files(settings: AdmissionSettings) -> list[Path]:
    """All files of metering lines, oldest first."""
    current = settings.requests_file
    aside = sorted(current.parent.glob(f"{current.stem}-*{current.suffix}"))
    return [*aside, *([current] if current.exists() else [])]


def read_requests(
    settings: AdmissionSettings, since: datetime | None = None, until: datetime | None = None
) -> Iterator[RequestLine]:
    """The lines of all requests that began from ``since`` on and before ``until``.

    Raises:
        NotHeld: a whole line is none that the gateway writes. A last line without its end is left for the next time.
    """
    with ExitStack() as stack:
        current = _opened(settings.requests_file, stack)
        for path in request_files(settings):
            if path == settings.requests_file or (since is not None and _set_aside(path) < since):
                continue
            file = _opened(path, stack)
            # Set aside just now, after it was opened: it is read at the end.
            if file is None or (current is not None and os.path.sameopenfile(file.fileno(), current.fileno())):
                continue
            yield from _between(file, since, until)
        if current is not None:
            yield from _between(current, since, until)


def _opened(path: Path, stack: ExitStack) -> BinaryIO | None:
    """The file, for as long as the stack lives; None where it was just moved away."""
    try:
        return stack.enter_context(path.open("rb"))
    except FileNotFoundError:
        return None


def _between(file: BinaryIO, since: datetime | None, until: datetime | None) -> Iterator[RequestLine]:
    for line in _lines(file):
        if (since is None or line.at >= since) and (until is None or line.at < until):
            yield line


def rotate_if_due(
    settings: AdmissionSettings,
    reopen: Callable[[], object],
    *,
    most_bytes: int = 64 * MIB,
    keep_days: int = 400,
) -> Path | None:
    """Sets the newest lines aside where they have grown large, and removes what is too old.

    Args:
        settings: of the gateway.
        reopen: has Envoy open its log anew (SIGUSR1); until then it writes on into the file set aside.
        most_bytes: a file that is larger is set aside.
        keep_days: how long lines are kept.

    Returns:
        Where the lines were moved to; None where the file was not due.
    """
    oldest = datetime.now(UTC) - timedelta(days=keep_days)
    for path in request_files(settings):
        if path != settings.requests_file and _set_aside(path) < oldest:
            path.unlink()
    current = settings.requests_file
    if not current.exists() or current.stat().st_size < most_bytes:
        return None
    aside = current.with_name(f"{current.stem}-{datetime.now(UTC).strftime(_STAMP)}{current.suffix}")
    current.rename(aside)
    reopen()
    return aside


def _set_aside(path: Path) -> datetime:
    return datetime.strptime(path.stem.rpartition("-")[2], _STAMP).replace(tzinfo=UTC)


def _lines(file: BinaryIO) -> Iterator[RequestLine]:
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            return
        try:
            yield RequestLine.model_validate_json(line)
        except ValidationError as error:
            raise NotHeld(
                f"line {number} of {file.name} is no metering line", "move the file away, or remove that line"
            ) from error
