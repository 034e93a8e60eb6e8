"""The lines that say of each mirrored request whether both servers' answers agree, written and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from maas_core.errors import NotHeld

_LARGEST_FILE_BYTES = 64 << 20


class _Mirrored(BaseModel):
    model_config = ConfigDict(extra="ignore")

    at: datetime
    model: str


def differences_path(state_dir: Path) -> Path:
    """One JSON object a line: ``at``, ``model``, ``request_id``, ``protocol``, ``equal``, ``worst``, ``where``,
    ``stable_status``, ``candidate_status``, and ``not_compared``, the requests that had to be passed over before it.
    """
    return state_dir / "mirror" / "differences.jsonl"


def append_difference(path: Path, line: Mapping[str, Any]) -> None:
    """Adds a line; the file is set aside first where it has grown large. One thread at a time.

    Raises:
        OSError: it could not be written, e.g. on a full disk; what was written of it is taken back.
    """
    if path.exists() and path.stat().st_size > _LARGEST_FILE_BYTES:
        path.replace(_set_aside(path))
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        whole = json.dumps(line).encode() + b"\n"
        if (written := file.write(whole)) != len(whole):
            file.truncate(before)
            raise OSError(f"only {written} of {len(whole)} bytes could be written to {path}")


def read_mirrored(state_dir: Path, since: datetime | None = None, until: datetime | None = None) -> dict[str, int]:
    """How many requests to each model were mirrored from ``since`` on and before ``until``.

    Raises:
        NotHeld: a whole line is none that the gateway writes. A last line without its end is left for the next time.
    """
    found: Counter[str] = Counter()
    newest = differences_path(state_dir)
    for path in (_set_aside(newest), newest):
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else (), 1):
            if not line.endswith(b"\n"):
                continue
            try:
                mirrored = _Mirrored.model_validate_json(line)
            except ValidationError as error:
                raise NotHeld(
                    f"line {number} of {path} does not tell of a mirrored request",
                    "move the file away, or remove that line",
                ) from error
            if (since is None or mirrored.at >= since) and (until is None or mirrored.at < until):
                found[mirrored.model] += 1
    return dict(found)


def _set_aside(path: Path) -> Path:
    return path.with_name(path.name + ".1")
