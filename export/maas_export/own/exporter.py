"""A module that no catalogue knows becomes a bundle."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from maas_core.layout import bundle_dir, bundles_dir
from maas_core.manifest import MANIFEST_FILE, WeightsEntry, read_manifest
from maas_core.names import check_model_name
from maas_export.bundle import is_current
from maas_export.bundle_model import SPEC_FILE, BundleModel, Guess, read_record
from maas_export.own.bundling import finish
from maas_export.own.process import run_worker
from maas_export.own.source import Source, remember
from maas_export.staging import staged

_OWN = re.compile(r"(?P<path>.+\.py)(:(?P<spec>[^:/]+))?", re.DOTALL)
DEFAULT_SPEC = "SPEC"


@dataclass(frozen=True)
class Exported:
    """One bundle: where it lies, whether it was written now, and what was derived for it."""

    bundle: Path
    is_new: bool
    guesses: tuple[Guess, ...]


def own_source(argument: str) -> Source | None:
    """What ``path/to/file.py:SPEC`` names; ``None`` where it is the name of a model."""
    found = _OWN.fullmatch(argument)
    if found is None:
        return None
    return Source("file", str(Path(found["path"]).absolute()), found["spec"] or DEFAULT_SPEC)


def default_name(source: Source) -> str:
    """What the model is called where nobody says: like the file, or like the spec if that has a name of its own."""
    return Path(source.path).stem if source.part == DEFAULT_SPEC else source.part.lower()


def export_own(source: Source, *, name: str | None, seed: int) -> Exported:
    """Writes the bundle of a module, not yet verified.

    Args:
        source: where the module comes from.
        name: of the model; else what the spec says, or the file's name.
        seed: of the golden samples.

    Raises:
        WrongUse: where the source, the spec or the module cannot be used; nothing is written.
        MaasError: where the bundle cannot be written; what was there before stays.
    """
    if name is not None:
        check_model_name(name)
    source.sha256()
    with tempfile.TemporaryDirectory(prefix="maas-own-") as temporary:
        folder = Path(temporary)
        result = run_worker(
            folder,
            source,
            "export",
            name=name or "",
            default_name=default_name(source),
            seed=seed,
            known_keys=_known_keys(),
        )
        target = bundle_dir(result["name"], BundleModel.bundle_format)
        remember(result["name"], source)
        if not (folder / SPEC_FILE).is_file():
            return Exported(target, False, read_record(target).guesses)
        record = read_record(folder)
        with staged(target, result["name"]) as staging:
            for path in folder.iterdir():
                shutil.move(path, staging / path.name)
            finish(
                staging,
                record,
                bundle_format=BundleModel.bundle_format,
                key=result["key"],
                seed=seed,
                versions=result["versions"],
                weights=WeightsEntry(source=source.said, sha256=result["weights"]),
            )
    return Exported(target, True, record.guesses)


def _known_keys() -> dict[str, str]:
    """The keys of the whole and verified bundles that describe themselves, by model."""
    found = {}
    for path in bundles_dir().glob(f"*/{BundleModel.bundle_format}/{SPEC_FILE}"):
        if (path.parent / MANIFEST_FILE).is_file():
            key = read_manifest(path.parent).key
            if is_current(path.parent, key):
                found[path.parent.parent.name] = key
    return found
