"""Reading a model repository: which models, which versions, what they are. Writing is ``maas_rollout``'s alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from maas_core.config import CONFIG_FILE
from maas_core.errors import WrongUse
from maas_core.manifest import MANIFEST_FILE
from maas_core.names import check_model_name

_LOWEST_VERSION = 1
_HIGHEST_VERSION = 2**31 - 1
"""Triton parses a folder's name as a number; one of 20 digits has ended it."""


@dataclass(frozen=True)
class Published:
    """One version of one model in a repository."""

    model: str
    version: int
    path: Path

    @property
    def digest(self) -> str | None:
        """The digest in the version's manifest; ``None`` for a version that was not published by this tool."""
        try:
            manifest = json.loads((self.path / MANIFEST_FILE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        digest = manifest.get("digest") if isinstance(manifest, dict) else None
        return digest if isinstance(digest, str) else None


def models_in(repository: Path) -> list[str]:
    """The names of all models with a configuration; hidden folders are none.

    Raises:
        WrongUse: where the folder does not exist, or a model in it has a name that must not reach Triton.
    """
    if not repository.is_dir():
        raise WrongUse(
            f"there is no model repository at {repository}", "give --repository, or run `maas publish` first"
        )
    shown = (entry for entry in repository.iterdir() if not entry.name.startswith("."))
    return sorted(check_model_name(entry.name) for entry in shown if (entry / CONFIG_FILE).is_file())


def versions_of(model_dir: Path) -> list[Published]:
    """The published versions of one model, oldest first."""
    if not model_dir.is_dir():
        return []
    numbers = (_version_number(entry) for entry in model_dir.iterdir() if entry.is_dir())
    return [
        Published(model_dir.name, number, model_dir / str(number))
        for number in sorted(n for n in numbers if n is not None)
    ]


def _version_number(folder: Path) -> int | None:
    name = folder.name
    if not (name.isascii() and name.isdigit()) or name.startswith("0") or len(name) > len(str(_HIGHEST_VERSION)):
        return None
    number = int(name)
    return number if _LOWEST_VERSION <= number <= _HIGHEST_VERSION else None
