"""``manifest.json``: what a bundle is, where it comes from, and what verification saw.

It travels with the bundle into the version folder, so that every served version can say what it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from maas_core.errors import NotHeld, first_problem
from maas_core.files import sha256_of, write_atomic

MANIFEST_FILE = "manifest.json"
SCHEMA_VERSION = 1
_OF_SOME_FORMATS = ("quantization", "engine")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileEntry(_Record):
    """One file of the bundle."""

    sha256: str
    size_bytes: int


class WeightsEntry(_Record):
    """Where the torch weights come from."""

    source: str
    sha256: str


class ToleranceEntry(_Record):
    """See :class:`maas_core.spec.Tolerance`."""

    absolute: float
    relative: float


class ObjectiveEntry(_Record):
    """See :class:`maas_core.spec.Objective`."""

    p99_ms: float
    error_rate: float


class SpeedEntry(_Record):
    """The median time of one call with so many samples, of the graph in 32-bit numbers and of the quantized one."""

    batch_size: int
    fp32_p50_ms: float
    int8_p50_ms: float


class QuantizationEntry(_Record):
    """What 8-bit numbers cost and saved.

    Attributes:
        measure: the task's own, see ``Evaluation`` in ``maas_export``.
        fp32: its value on the held-out part, with the graph in 32-bit numbers.
        int8: the same with the quantized graph.
        allowed_drop: in points of a share, or per cent of a measure that should be low.
        samples: how many held-out samples were asked.
        calibrated_on: how many training samples the ranges were taken from.
        speed: as measured when it was exported; no promise.
        processor: what it was measured on.
        instructions: what that processor has for 8-bit numbers.
    """

    measure: str
    higher_is_better: bool
    fp32: float
    int8: float
    allowed_drop: float
    samples: int
    calibrated_on: int
    size_bytes_fp32: int
    size_bytes_int8: int
    speed: tuple[SpeedEntry, ...]
    processor: str
    instructions: tuple[str, ...]


class ShapeRange(_Record):
    """The shapes of one input that an engine takes, with the batch axis; ``opt`` is the one that it is tuned for."""

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


class EngineEntry(_Record):
    """Where a TensorRT engine runs: only on what it was built by, for and on."""

    tensorrt: str
    compute_capability: str
    os: str
    profile: dict[str, ShapeRange]


class OutputResult(_Record):
    """How far one output lay from what was wanted, on the worst of all samples of a rung.

    ``max_relative`` is against the wanted value, or against the absolute tolerance where that is larger.
    """

    output: str
    passed: bool
    max_absolute: float
    max_relative: float
    detail: str = ""


class RungResult(_Record):
    """One rung of the ladder."""

    rung: str
    passed: bool
    samples: int
    outputs: tuple[OutputResult, ...]
    agreement: float | None = None
    """The share of samples on which the task's own answer (e.g. top-1) is the same."""
    detail: str = ""


class Verification(_Record):
    """The stamp: what was verified, by its digest, and what was seen."""

    passed: bool
    digest: str
    requires: dict[str, str]
    """The digests of the steps, for an ensemble, as they were when it was verified."""
    rungs: tuple[RungResult, ...]
    verified_at: str
    tool_version: str


class Manifest(_Record):
    """All that is known about one bundle.

    Attributes:
        digest: see :func:`payload_digest`.
        key: digest of all that decides the outcome of an export; an equal key needs no second export.
        requires: the models that an ensemble is made of.
        quantization: of a bundle in 8-bit numbers.
        engine: of a bundle that holds a TensorRT engine.
        seal: SHA-256 over the manifest without its seal; tells damage, not forgery.
    """

    schema_version: int = SCHEMA_VERSION
    model: str
    format: str
    digest: str
    files: dict[str, FileEntry]
    key: str
    requires: tuple[str, ...] = ()
    weights: WeightsEntry | None = None
    training: dict[str, float] = {}
    seed: int
    versions: dict[str, str]
    opset: int | None = None
    tolerances: dict[str, ToleranceEntry]
    objective: ObjectiveEntry
    quantization: QuantizationEntry | None = None
    engine: EngineEntry | None = None
    verification: Verification | None = None
    created_at: str
    tool_version: str
    seal: str = ""


def file_entries(folder: Path) -> dict[str, FileEntry]:
    """Every file under ``folder`` but the manifest itself, by its path within it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return {
        path.relative_to(folder).as_posix(): FileEntry(sha256=sha256_of(path), size_bytes=path.stat().st_size)
        for path in paths
    }


def payload_digest(files: Mapping[str, FileEntry]) -> str:
    """One SHA-256 for all files of a bundle: over the sorted JSON object ``{path: sha256}``."""
    listing = {path: entry.sha256 for path, entry in files.items()}
    return hashlib.sha256(json.dumps(listing, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle or a version folder.

    Raises:
        NotHeld: where it is missing or is not one.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotHeld(f"{folder} is not a bundle: {MANIFEST_FILE} is missing", "run `maas export MODEL`") from error
    except ValidationError as error:
        problem = first_problem(error, "the file")
        raise NotHeld(f"{path} is not a manifest ({problem})", "run `maas export MODEL` again") from error
    if manifest.seal != _seal_of(manifest):
        raise NotHeld(f"{path} was changed by hand or damaged", f"run `maas export {manifest.model}` again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Seals the manifest of a bundle and writes it, atomically."""
    sealed = manifest.model_copy(update={"seal": _seal_of(manifest)})
    write_atomic(folder / MANIFEST_FILE, sealed.model_dump_json(indent=1) + "\n")


def _seal_of(manifest: Manifest) -> str:
    """Over all but what a bundle of its format does not have: manifests older than these fields keep their seals."""
    absent = {name for name in _OF_SOME_FORMATS if getattr(manifest, name) is None}
    unsealed = manifest.model_copy(update={"seal": ""})
    return hashlib.sha256(unsealed.model_dump_json(exclude=absent).encode()).hexdigest()


def changed_files(folder: Path, manifest: Manifest) -> list[str]:
    """What differs between a folder and its manifest, a sentence each; empty where nothing does."""
    found = file_entries(folder)
    problems = [f"{path} is missing" for path in manifest.files if path not in found]
    problems += [f"{path} is not in the manifest" for path in found if path not in manifest.files]
    problems += [
        f"{path} was changed after export"
        for path in found
        if path in manifest.files and found[path] != manifest.files[path]
    ]
    if not problems and payload_digest(found) != manifest.digest:
        problems.append("the manifest's digest does not fit its own list of files")
    return problems
