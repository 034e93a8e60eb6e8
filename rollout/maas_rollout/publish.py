"""Publishing: one verified bundle becomes the next version of its model, whole or not at all.

Everything is staged beside the repository, in ``.<its name>.maas/``: on its file system, and out of sight of a Triton
that is pointed straight at it (it takes any folder for a model), and moved into place by one rename. A publish that is
killed at any moment leaves the repository as it was, or with the whole new version; what it staged is removed by the
next one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path

from filelock import FileLock, Timeout

from maas_core.config import CONFIG_FILE, LABELS_FILE, dump_config, pin_version, read_config, same_but_version
from maas_core.errors import MaasError, NotHeld, WrongUse
from maas_core.files import fsync_dir, make_newer, newest_change_ns, sync_tree
from maas_core.manifest import Manifest, changed_files, read_manifest
from maas_core.names import check_model_name
from maas_core.repository import Published, models_in, versions_of

_LOG_FILE = "published.jsonl"
_LOCK_FILE = "lock"
_STAGING = "staging"
_LOCK_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What a publish did.

    Attributes:
        is_new: false where the same bytes were there already.
        left_behind: the ensembles whose newest version was verified with another version of this model.
    """

    published: Published
    digest: str
    is_new: bool
    left_behind: tuple[str, ...] = ()


def in_order(bundles: Sequence[Path]) -> list[Path]:
    """The bundles, each after those of the same list that its model requires.

    Raises:
        NotHeld: where a folder is no bundle.
    """
    manifests = {bundle: read_manifest(bundle) for bundle in bundles}
    of_model = {manifest.model: bundle for bundle, manifest in manifests.items()}
    graph = {
        bundle: [of_model[name] for name in manifest.requires if name in of_model]
        for bundle, manifest in manifests.items()
    }
    return list(TopologicalSorter(graph).static_order())


def publish(bundle: Path, repository: Path, *, steps: Mapping[str, int] | None = None) -> Outcome:
    """Makes ``bundle`` the next version of its model, or finds the version that it already is.

    Args:
        bundle: what ``maas export`` wrote and ``maas verify`` stamped.
        repository: where it goes.
        steps: of an ensemble, the version of each step that it will be served with; by default the newest.

    Raises:
        NotHeld: where the bundle is not verified, or a file of it was changed since, or its configuration is not the
            repository's, or a step of an ensemble is missing or another than the one it was verified with.
        MaasError: where it cannot be written; the repository is as it was.
    """
    manifest = proven(bundle)
    check_model_name(manifest.model)
    try:
        with changing(repository):
            return _publish(bundle, manifest, repository, steps or {})
    except OSError as error:
        raise MaasError(
            f"{manifest.model} was not published: {error}",
            "the repository is as it was; make room or give rights there",
        ) from error


def proven(bundle: Path) -> Manifest:
    """The manifest of a bundle whose stamp holds for the bytes that lie there now.

    Raises:
        NotHeld: where it does not.
    """
    manifest = read_manifest(bundle)
    stamp = manifest.verification
    problems = changed_files(bundle, manifest)
    if problems:
        raise NotHeld(f"{bundle} is damaged: {'; '.join(problems)}", f"run `maas export {manifest.model}` again")
    if stamp is None or not stamp.passed:
        raise NotHeld(f"{bundle} has not passed verification", f"run `maas verify {bundle}`")
    if stamp.digest != manifest.digest:
        raise NotHeld(f"{bundle} was verified with other files", f"run `maas verify {bundle}` again")
    config = read_config(bundle)
    if config.name != manifest.model:
        raise NotHeld(f"{bundle} names the model {config.name!r} and {manifest.model!r}", "export it again")
    return manifest


def _publish(bundle: Path, manifest: Manifest, repository: Path, steps: Mapping[str, int]) -> Outcome:
    # One that was killed has left it: nobody else stages while this one holds the repository.
    shutil.rmtree(own_folder(repository) / _STAGING, ignore_errors=True)
    model_dir = repository / manifest.model
    _check_config(bundle, model_dir)
    _check_steps(manifest, repository, steps)
    published = versions_of(model_dir)
    for version in published:
        if version.digest == manifest.digest:
            return Outcome(version, manifest.digest, is_new=False)
    highest = max([version.version for version in published] + [_highest_logged(repository, manifest.model)])
    version = Published(manifest.model, highest + 1, model_dir / str(highest + 1))
    _move_in(bundle, version, repository)
    _log(repository, version, manifest.digest)
    left_behind = _ensembles_with_another(manifest.model, manifest.digest, repository)
    return Outcome(version, manifest.digest, is_new=True, left_behind=left_behind)


def _ensembles_with_another(step: str, digest: str, repository: Path) -> tuple[str, ...]:
    """The ensembles that a server which takes the newest of everything would now serve with an unproven step."""
    found = []
    for model in models_in(repository):
        newest = versions_of(repository / model)[-1:]
        if newest and newest[0].digest is not None:
            # A damaged manifest of another model is not this publish's business.
            with suppress(NotHeld):
                stamp = read_manifest(newest[0].path).verification
                if stamp is not None and stamp.requires.get(step, digest) != digest:
                    found.append(model)
    return tuple(found)


def _check_config(bundle: Path, model_dir: Path) -> None:
    if (model_dir / CONFIG_FILE).is_file() and not same_but_version(read_config(bundle), read_config(model_dir)):
        raise NotHeld(
            f"{bundle / CONFIG_FILE} differs from {model_dir / CONFIG_FILE} in more than the version",
            f"run `maas config {model_dir.name} --write` where the change is meant, then publish again; a format "
            "with a configuration of its own (tensorrt, onnx-tensorrt) goes into a repository of its own: --repository",
        )


def _check_steps(manifest: Manifest, repository: Path, versions: Mapping[str, int]) -> None:
    """An ensemble is proven with certain steps, and only with these may it be served."""
    verified = manifest.verification.requires if manifest.verification else {}
    for step in manifest.requires:
        published = versions_of(repository / step)
        if not published:
            raise NotHeld(f"{step}, a step of {manifest.model}, is not published", f"publish {step} first")
        served = next((entry for entry in published if entry.version == versions.get(step)), published[-1])
        if served.digest != verified.get(step):
            raise NotHeld(
                f"{manifest.model} was verified with another {step} than version {served.version}",
                f"publish that {step}, or run `maas export {manifest.model}` again",
            )


def _move_in(bundle: Path, version: Published, repository: Path) -> None:
    staging = own_folder(repository) / _STAGING
    try:
        staged_model = staging / version.model
        staged = staged_model / str(version.version)
        staged_model.mkdir(parents=True)
        shutil.copytree(bundle, staged)
        if changed_files(staged, read_manifest(staged)):
            raise NotHeld(f"{bundle} changed while it was being copied", "publish again when nothing else writes there")
        _write_root(bundle, staged_model, version.version)
        model_dir = version.path.parent
        make_newer(staged, newest_change_ns(model_dir))
        sync_tree(staging)
        if (model_dir / CONFIG_FILE).is_file():
            staged.rename(version.path)
            fsync_dir(model_dir)
        else:
            staged_model.rename(model_dir)
            fsync_dir(repository)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_root(bundle: Path, staged_model: Path, version: int) -> None:
    """Configuration and labels of a model that the repository does not know yet."""
    config = pin_version(read_config(bundle), version)
    (staged_model / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
    labels = bundle / LABELS_FILE
    if labels.is_file():
        shutil.copyfile(labels, staged_model / LABELS_FILE)


def own_folder(repository: Path) -> Path:
    """The folder for lock, staging and log of what was published: on the repository's file system, out of its sight."""
    resolved = repository.resolve()
    return resolved.parent / f".{resolved.name}.maas"


@contextmanager
def changing(repository: Path) -> Iterator[None]:
    """Holds the repository: one process at a time changes it."""
    repository.mkdir(parents=True, exist_ok=True)
    own = own_folder(repository)
    own.mkdir(exist_ok=True)
    lock = FileLock(own / _LOCK_FILE)
    try:
        with lock.acquire(timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise WrongUse(
            f"another publish has held {repository} for {_LOCK_TIMEOUT_S:.0f} s", "wait for it to end, then try again"
        ) from error


def _log(repository: Path, version: Published, digest: str) -> None:
    """Remembers the number, so that it is never given again, not even after its folder is gone."""
    entry = {
        "model": version.model,
        "version": version.version,
        "digest": digest,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    with (own_folder(repository) / _LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
        log.flush()
        os.fsync(log.fileno())


def _highest_logged(repository: Path, model: str) -> int:
    """The highest version that was ever given to ``model`` here; a line that a crash cut off counts for nothing."""
    log = own_folder(repository) / _LOG_FILE
    if not log.is_file():
        return 0
    highest = 0
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry["model"] == model:
            highest = max(highest, entry["version"])
    return highest
