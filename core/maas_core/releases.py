"""Which version of a model serves, as the release journals say.

``build/state/rollouts/MODEL.jsonl`` is append-only: one JSON object a line, each with ``prev``, the SHA-256 of the line
before it. ``maas_rollout`` writes them; servers read them here. A journal's entries of kind ``pin`` name versions; a
model that no entry names is served at its newest published version.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from maas_core.errors import NotHeld
from maas_core.files import write_atomic
from maas_core.layout import build_dir

_PLACE = Path(".maas") / "journals.json"
FIRST_PREV = "0" * 64
"""What the first line of a journal names as the line before it."""
PIN = "pin"
NOT_SERVED = 0
"""Pinned in place of a version: the model is published, and not yet served."""


@dataclass(frozen=True)
class Entry:
    """One line of a journal.

    Attributes:
        seq: its number, from 1.
        at: when it was written, ISO 8601, UTC.
        who: user, machine and process.
        rollout: the rollout that it belongs to.
        kind: what happened.
        data: the particulars, by kind.
        prev: SHA-256 of the line before.
    """

    seq: int
    at: str
    who: str
    rollout: str
    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    prev: str = FIRST_PREV

    def line(self) -> bytes:
        """The entry as it stands in the file, without the line's end."""
        return json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":")).encode()


def journals_dir() -> Path:
    """Where the journals lie."""
    return build_dir() / "state" / "rollouts"


def journal_path(model: str) -> Path:
    """The journal of the rollouts that were started under this name."""
    return journals_dir() / f"{model}.jsonl"


def whole_lines(content: bytes) -> list[bytes]:
    """The lines that were written to their end: what follows the last line end is an append that a crash cut off."""
    return content.split(b"\n")[:-1]


def read_entries(path: Path) -> list[Entry]:
    """All entries of a journal, oldest first; none where there is no journal.

    Raises:
        NotHeld: where a line was changed, removed or added by something else.
    """
    try:
        lines = whole_lines(path.read_bytes())
    except FileNotFoundError:
        return []
    entries: list[Entry] = []
    prev = FIRST_PREV
    for number, line in enumerate(lines, start=1):
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise _damaged(path, number, f"it is no entry ({error})") from error
        if entry.prev != prev or entry.seq != number:
            raise _damaged(path, number, "it does not continue the line before")
        entries.append(entry)
        prev = hashlib.sha256(line).hexdigest()
    return entries


def _damaged(path: Path, number: int, what: str) -> NotHeld:
    return NotHeld(
        f"{path}, line {number}: {what}",
        "the journal was changed by hand or damaged; put back a copy, or move it away to serve the newest versions",
    )


def note_place(repository: Path) -> None:
    """Writes down in the repository where the journals lie that name its versions."""
    path, place = repository / _PLACE, _place(repository)
    if _noted(path) != place:
        write_atomic(path, json.dumps(place) + "\n")


def _place(repository: Path) -> dict[str, str]:
    return {"journals": str(journals_dir().resolve()), "repository": str(repository.resolve())}


def _noted(path: Path) -> dict[str, str] | None:
    try:
        noted: dict[str, str] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return noted


def _require_place(repository: Path) -> None:
    """Refuses to know of no pins because the journals, or the repository, are looked for in another folder."""
    path, here = repository / _PLACE, _place(repository)
    noted = _noted(path)
    if noted is None or noted == here:
        return
    mend = f"go there, or set MAAS_BUILD; to serve the newest versions instead, remove {path}"
    if noted["journals"] != here["journals"]:
        raise NotHeld(
            f"which versions of {repository} serve is written in {noted['journals']}, not in {here['journals']}", mend
        )
    raise NotHeld(f"the repository {here['repository']} was released as {noted['repository']}", f"move it back; {mend}")


def pins(repository: Path) -> list[Entry]:
    """The entries of all journals that name versions of ``repository``, in the order in which they were written.

    Raises:
        NotHeld: where a journal is damaged, or where the repository says that its journals lie elsewhere.
    """
    _require_place(repository)
    wanted = str(repository.resolve())
    found = [entry for path in sorted(journals_dir().glob("*.jsonl")) for entry in read_entries(path)]
    named = [entry for entry in found if entry.kind == PIN and entry.data["repository"] == wanted]
    return sorted(named, key=lambda entry: int(entry.data["order"]))


def released_versions(repository: Path) -> dict[str, int]:
    """The version that serves of each model that a rollout ever touched; :data:`NOT_SERVED` for one that waits.

    Raises:
        NotHeld: where a journal is damaged, or lies elsewhere.
    """
    versions: dict[str, int] = {}
    for entry in pins(repository):
        versions |= entry.data["versions"]
    return versions


class ReleaseWatch:
    """Notices that the journals may name other versions of a repository."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._last = _signature()
        self._versions = released_versions(repository)

    def has_change(self) -> bool:
        """Whether other versions are named than when this was asked last.

        Raises:
            NotHeld: where a journal is damaged; it is told once.
        """
        now = _signature()
        if now == self._last:
            return False
        self._last = now
        before, self._versions = self._versions, released_versions(self._repository)
        return before != self._versions


def _signature() -> frozenset[tuple[str, int]]:
    """A journal only grows."""
    found = set()
    for path in journals_dir().glob("*.jsonl"):
        found.add((path.name, path.stat().st_size))
    return frozenset(found)
