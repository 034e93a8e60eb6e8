"""Views: what one server serves of a model repository.

A view is a folder of its own that Triton is pointed at. The files of a version are hard-linked, the version *folder* is
the view's (a server may touch it to have the version loaded anew), and ``config.pbtxt`` is the version's own with the
version line added. The repository is never written.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from maas_core.config import CONFIG_FILE, DIGEST_PARAMETER, LABELS_FILE, dump_config, pin_version, read_config
from maas_core.errors import WrongUse
from maas_core.files import link_tree, newest_change_ns, write_atomic
from maas_core.repository import Published, models_in, versions_of


def build_view(
    repository: Path,
    view: Path,
    models: Sequence[str] | None = None,
    versions: Mapping[str, int] | None = None,
    keep: Collection[str] = (),
) -> dict[str, int]:
    """Makes ``view`` show ``models`` (all by default) of ``repository``, each at one version.

    Args:
        repository: the model repository; it is only read.
        view: the folder that becomes the view; what does not belong into it is removed.
        models: the models to show.
        versions: the version of each model that shall not be served at its newest.
        keep: models that stay in the view as they are, e.g. because their new configuration cannot be read.

    Returns:
        The version shown of each model. A model without a published version is left out unless it was named.

    Raises:
        WrongUse: where a named model or version is not published.
    """
    chosen = {model: entry for model, entry in _choose(repository, models, versions or {}).items() if model not in keep}
    view.mkdir(parents=True, exist_ok=True)
    for stale in view.iterdir():
        if stale.name not in chosen and stale.name not in keep:
            shutil.rmtree(stale)
    for version in chosen.values():
        _show(repository / version.model, version, view / version.model)
    return {model: version.version for model, version in chosen.items()}


def _choose(repository: Path, models: Sequence[str] | None, versions: Mapping[str, int]) -> dict[str, Published]:
    present = models_in(repository)
    unknown = sorted({*(models or ()), *versions} - set(present))
    if unknown:
        raise WrongUse(f"{', '.join(unknown)}: no such model in {repository}", f"it has {', '.join(present) or 'none'}")
    chosen: dict[str, Published] = {}
    for model in models if models is not None else present:
        published = {entry.version: entry for entry in versions_of(repository / model)}
        wanted = versions.get(model)
        if wanted is not None and wanted not in published:
            raise WrongUse(f"{model} has no version {wanted}", f"it has {', '.join(map(str, published)) or 'none'}")
        if published:
            chosen[model] = published[wanted if wanted is not None else max(published)]
        elif models is not None:
            raise WrongUse(f"{model} has no published version in {repository}", f"run `maas publish` for {model} first")
    return chosen


def _show(model_dir: Path, version: Published, shown: Path) -> None:
    """Adds the version's folder, switches the config to it, drops the others: in this order none is ever missing."""
    newest_ns = newest_change_ns(shown)
    shown.mkdir(exist_ok=True)
    folder = shown / str(version.version)
    if folder.is_dir() and not _shows(folder, version.path):
        shutil.rmtree(folder)
    is_new = not folder.is_dir()
    if is_new:
        link_tree(version.path, folder)
    own_config = version.path / CONFIG_FILE
    source = version.path if own_config.is_file() else model_dir
    labels = source / LABELS_FILE
    if labels.is_file():
        _write_if_changed(shown / LABELS_FILE, labels.read_text(encoding="utf-8"))
    config = pin_version(read_config(source), version.version)
    if version.digest:
        # So that a client learns from the served configuration which bytes answer.
        config.parameters[DIGEST_PARAMETER].string_value = version.digest
    is_other = _write_if_changed(shown / CONFIG_FILE, dump_config(config))
    if is_new or is_other:
        _make_newer([folder, shown / CONFIG_FILE], newest_ns)
    keep = {CONFIG_FILE, str(version.version), *([LABELS_FILE] if labels.is_file() else [])}
    for stale in shown.iterdir():
        if stale.name in keep:
            continue
        if stale.is_dir():
            shutil.rmtree(stale)
        else:
            stale.unlink()


def _shows(folder: Path, source: Path) -> bool:
    """Whether ``folder`` links the very files of ``source``: the same number may be another repository's version."""
    names = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
    return all((folder / name).is_file() and (folder / name).samefile(source / name) for name in names)


def _write_if_changed(path: Path, text: str) -> bool:
    """Any change in a model's root makes Triton load all its versions again, so an equal file is left alone."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    write_atomic(path, text)
    return True


def _make_newer(paths: Sequence[Path], than_ns: int) -> None:
    """Triton ignores what is not strictly newer, as after a clock was set back. Linked files stay untouched."""
    newer = max(time.time_ns(), than_ns + 1)
    for path in paths:
        os.utime(path, ns=(newer, newer))
