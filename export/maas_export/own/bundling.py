"""A bundle that describes itself, from the files that are its payload."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from maas_core.config import CONFIG_FILE, LABELS_FILE, config_of, dump_config, labels_text
from maas_core.manifest import (
    Manifest,
    ObjectiveEntry,
    ToleranceEntry,
    WeightsEntry,
    file_entries,
    payload_digest,
    write_manifest,
)
from maas_export.bundle import TOOL_VERSION
from maas_export.bundle_model import BundleRecord, write_record


def finish(
    folder: Path,
    record: BundleRecord,
    *,
    bundle_format: str,
    key: str,
    seed: int,
    versions: Mapping[str, str],
    weights: WeightsEntry | None = None,
    requires: tuple[str, ...] = (),
) -> None:
    """Adds configuration, labels, ``spec.json`` and manifest to payload and golden samples."""
    spec = record.spec
    (folder / CONFIG_FILE).write_text(dump_config(config_of(spec)), encoding="utf-8")
    if spec.labels:
        (folder / LABELS_FILE).write_text(labels_text(spec.labels), encoding="utf-8")
    write_record(folder, record)
    files = file_entries(folder)
    manifest = Manifest(
        model=spec.name,
        format=bundle_format,
        digest=payload_digest(files),
        files=files,
        key=key,
        requires=requires,
        weights=weights,
        seed=seed,
        versions=dict(versions),
        opset=record.opset or None,
        tolerances={name: ToleranceEntry(**asdict(value)) for name, value in spec.tolerances.items()},
        objective=ObjectiveEntry(**asdict(spec.objective)),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=TOOL_VERSION,
    )
    write_manifest(folder, manifest)
