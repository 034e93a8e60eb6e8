"""Removing old versions. Nothing else removes one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from maas_core.files import fsync_dir
from maas_core.manifest import read_manifest
from maas_core.releases import journals_dir, read_entries, released_versions
from maas_core.repository import Published, models_in, versions_of
from maas_rollout.publish import changing, own_folder
from maas_rollout.state import fold

_REMOVED = "removed"


def superfluous(repository: Path, models: Sequence[str], keep: int) -> list[Published]:
    """The versions of ``models`` that are not among the newest ``keep``, and that nothing can need any more.

    What serves, what a rollout under way comes from or goes to, and the steps of every ensemble that stays, stay.
    """
    in_use = _in_use(repository)
    found: list[Published] = []
    for model in models:
        versions = versions_of(repository / model)
        found += [
            entry for entry in versions[: max(len(versions) - keep, 0)] if entry.version not in in_use.get(model, ())
        ]
    digests = _digests_of_steps(repository, without=found)
    return [entry for entry in found if entry.digest not in digests]


def prune(repository: Path, models: Sequence[str], keep: int) -> list[Published]:
    """Removes them; each is out of the repository by one rename before its files go."""
    removed: list[Published] = []
    with changing(repository):
        away = own_folder(repository) / _REMOVED
        shutil.rmtree(away, ignore_errors=True)
        for version in superfluous(repository, models, keep):
            away.mkdir(exist_ok=True)
            version.path.rename(away / f"{version.model}-{version.version}")
            fsync_dir(version.path.parent)
            removed.append(version)
        shutil.rmtree(away, ignore_errors=True)
    return removed


def _in_use(repository: Path) -> dict[str, set[int]]:
    """The versions, by model, that serve or that a rollout under way comes from or goes to."""
    states = (state for path in journals_dir().glob("*.jsonl") for state in fold(read_entries(path)))
    under_way = [versions for state in states if not state.outcome for versions in (state.before, state.to)]
    found: dict[str, set[int]] = {}
    for versions in [released_versions(repository), *under_way]:
        for model, version in versions.items():
            found.setdefault(model, set()).add(version)
    return found


def _digests_of_steps(repository: Path, without: Sequence[Published]) -> set[str]:
    """The digests of all steps that the ensembles in the repository were verified with."""
    gone = {(entry.model, entry.version) for entry in without}
    digests: set[str] = set()
    for model in models_in(repository):
        for version in versions_of(repository / model):
            if (model, version.version) not in gone and version.digest is not None:
                stamp = read_manifest(version.path).verification
                digests |= set(stamp.requires.values()) if stamp is not None else set()
    return digests
