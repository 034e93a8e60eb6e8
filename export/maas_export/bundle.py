"""Assembling a bundle: the one folder that holds all that publishing needs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from maas_core.config import CONFIG_FILE, LABELS_FILE, config_of, dump_config, labels_text
from maas_core.errors import MaasError, NotHeld
from maas_core.files import sha256_of
from maas_core.golden import GOLDEN_FILE, Sample, save_golden
from maas_core.layout import bundle_dir, bundles_dir
from maas_core.manifest import (
    MANIFEST_FILE,
    Manifest,
    ObjectiveEntry,
    ToleranceEntry,
    WeightsEntry,
    changed_files,
    file_entries,
    payload_digest,
    read_manifest,
    write_manifest,
)
from maas_export import weights
from maas_export.catalogue import (
    CatalogueModel,
    PythonModel,
    Reference,
    TorchModel,
    model_named,
    requirements,
)
from maas_export.formats.choice import format_of, is_derived
from maas_export.python_models import source_files
from maas_export.staging import staged

ONNX_FILE = "model.onnx"
_RECORDED = ("torch", "onnx", "onnxruntime", "onnxslim", "onnxscript", "numpy", "pillow", "triton-maas")
TOOL_VERSION = version("triton-maas")


def export_bundle(
    name: str, *, seed: int, bundle_format: str | None = None, data: Path | None = None
) -> tuple[Path, bool]:
    """Writes the bundle of a catalogue model, not yet verified; returns its folder and whether it is new.

    Nothing is written where code, weights, versions and seed are those of a verified bundle that is there already.

    Args:
        name: of the model.
        seed: of the golden samples.
        bundle_format: see :mod:`maas_export.formats.kinds`; the model's own where it is None.
        data: what the weights were trained on, where that is not the built-in data.

    Raises:
        MaasError: naming the stage that failed; what was there before stays.
    """
    model = model_named(name)
    chosen = format_of(model, bundle_format)
    target = bundle_dir(name, chosen)
    stored = weights.required(name) if isinstance(model, TorchModel) else None
    check_labels(model, bundles_dir())
    key = _key(model, chosen, stored, seed)
    if is_current(target, key):
        return target, False
    with staged(target, name) as folder:
        facts = _write_payload(model, chosen, stored, folder, seed, data)
        write_manifest(folder, _manifest(model, chosen, stored, folder, key, seed, facts))
    return target, True


def required_weights(model: CatalogueModel, bundles: Path) -> dict[str, str | None]:
    """The torch weights behind the bundles that ``model`` needs, by network."""
    found: dict[str, str | None] = {}
    for name in requirements(model):
        part = model.part(name)
        manifest = read_manifest(bundles / part.name / part.bundle_format)
        if manifest.weights is not None:
            found[part.name] = manifest.weights.sha256
    return found


def required_digests(model: CatalogueModel, bundles: Path) -> dict[str, str]:
    """The digests of the verified bundles that ``model`` needs.

    Raises:
        NotHeld: where one is missing or not verified.
    """
    digests: dict[str, str] = {}
    for name in requirements(model):
        folder = bundles / name / model.part(name).bundle_format
        manifest = read_manifest(folder)
        if manifest.verification is None or not manifest.verification.passed:
            raise NotHeld(f"{name}, which {model.name} needs, is not verified", f"run `maas verify {folder}`")
        digests[name] = manifest.digest
    return digests


def check_labels(model: CatalogueModel, bundles: Path) -> None:
    """The steps of an ensemble must mean the same classes: trained on other data, a network may have other names.

    Raises:
        NotHeld: where the bundles of two steps name different ones.
    """
    named: dict[str, bytes] = {}
    for step in model.spec.steps:
        path = bundles / step.model / model.part(step.model).bundle_format / LABELS_FILE
        if path.is_file():
            named[step.model] = path.read_bytes()
    if len(set(named.values())) > 1:
        raise NotHeld(f"{' and '.join(named)} name different classes", f"run `maas export {' '.join(named)}` again")


def _key(model: CatalogueModel, bundle_format: str, stored: weights.StoredWeights | None, seed: int) -> str:
    package = Path(__file__).parent
    code = {path.relative_to(package).as_posix(): sha256_of(path) for path in sorted(package.rglob("*.py"))}
    sources = source_files(model.source) if isinstance(model, PythonModel) else ()
    base = read_manifest(_base_of(model)).digest if is_derived(bundle_format) else None
    parts = {
        "format": bundle_format,
        "base": base,
        "config": dump_config(config_of(model.spec)),
        "code": code,
        "sources": {path.name: sha256_of(path) for path in sources},
        "assets": asset_digests(model) if isinstance(model, PythonModel) else {},
        "weights": stored.record.sha256 if stored else None,
        "steps": required_digests(model, bundles_dir()),
        "versions": recorded_versions(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def asset_digests(model: PythonModel) -> dict[str, str]:
    """SHA-256 of each further file of a Python model, by name."""
    contents = {name: asset.encode() if isinstance(asset, str) else asset for name, asset in model.assets.items()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def is_current(target: Path, key: str) -> bool:
    """Whether a verified bundle with this key lies there, whole."""
    if not (target / MANIFEST_FILE).is_file():
        return False
    try:
        manifest = read_manifest(target)
    except NotHeld:
        return False
    stamp = manifest.verification
    return manifest.key == key and stamp is not None and stamp.passed and not changed_files(target, manifest)


def _base_of(model: CatalogueModel) -> Path:
    """The bundle that the derived formats are made from."""
    return bundle_dir(model.name, model.bundle_format)


def _write_payload(
    model: CatalogueModel,
    bundle_format: str,
    stored: weights.StoredWeights | None,
    folder: Path,
    seed: int,
    data: Path | None,
) -> dict[str, Any]:
    """Writes all files but the manifest; returns what its format adds to the manifest."""
    if is_derived(bundle_format) and isinstance(model, TorchModel) and stored is not None:
        from maas_export.formats.derived import Derivation, write_derived

        return write_derived(Derivation(model, bundle_format, _base_of(model), stored.record, seed, data), folder)
    (folder / CONFIG_FILE).write_text(dump_config(config_of(model.spec)), encoding="utf-8")
    if model.spec.labels:
        labels = stored.labels if stored is not None and stored.labels else model.spec.labels
        (folder / LABELS_FILE).write_text(labels_text(labels), encoding="utf-8")
    weights_of: Mapping[str, str | None] = {}
    facts: dict[str, Any] = {}
    if isinstance(model, TorchModel) and stored is not None:
        from maas_export.graph_signature import OPSET
        from maas_export.onnx_export import export_onnx

        facts = {"opset": OPSET}
        export_onnx(model, model.exported(stored.load_into(model.build())).eval(), folder / ONNX_FILE)
        weights_of = {model.name: stored.record.sha256}
    elif isinstance(model, PythonModel):
        write_sources(model, folder)
    if requirements(model):
        weights_of = required_weights(model, bundles_dir())
    from maas_export.references import reference_of

    reference = reference_of(model, weights_of)
    if reference is None:
        raise MaasError(f"the torch weights behind {model.name} are not on this machine", "run `maas train` first")
    save_golden(folder / GOLDEN_FILE, samples_of(model, reference, seed, "golden"))
    return facts


def write_sources(model: PythonModel, folder: Path) -> None:
    """Code and assets of a Python model."""
    for path in source_files(model.source):
        shutil.copyfile(path, folder / path.name)
    for name, content in model.assets.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def samples_of(model: CatalogueModel, reference: Reference, seed: int, prefix: str) -> list[Sample]:
    """Seeded requests at every batch size that verification tries, with their right answers."""
    rng = np.random.default_rng(seed)
    samples = []
    for batch_size in model.batch_sizes:
        inputs = model.sample_inputs(rng, batch_size)
        samples.append(Sample(f"{prefix}-batch{batch_size}", inputs, reference(inputs)))
    return samples


def _manifest(
    model: CatalogueModel,
    bundle_format: str,
    stored: weights.StoredWeights | None,
    folder: Path,
    key: str,
    seed: int,
    facts: dict[str, Any],
) -> Manifest:
    files = file_entries(folder)
    return Manifest(
        model=model.name,
        format=bundle_format,
        digest=payload_digest(files),
        files=files,
        key=key,
        requires=requirements(model),
        weights=WeightsEntry(source=stored.record.source, sha256=stored.record.sha256) if stored else None,
        training=_training_figures(stored),
        seed=seed,
        versions=recorded_versions(),
        tolerances={name: ToleranceEntry(**asdict(value)) for name, value in model.spec.tolerances.items()},
        objective=ObjectiveEntry(**asdict(model.spec.objective)),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=TOOL_VERSION,
        **facts,
    )


def _training_figures(stored: weights.StoredWeights | None) -> dict[str, float]:
    if stored is None:
        return {}
    figures: dict[str, float] = stored.record.evaluation["figures"]
    return figures


def recorded_versions() -> dict[str, str]:
    """Of the packages that an export depends on."""
    return {name: version(name) for name in _RECORDED}
