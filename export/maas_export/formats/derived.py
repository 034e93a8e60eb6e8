"""The payload of a format that is made from a verified ``onnx`` bundle."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_core.config import CONFIG_FILE, LABELS_FILE, dump_config
from maas_core.errors import NotHeld
from maas_core.golden import GOLDEN_FILE, load_golden, save_golden
from maas_core.manifest import changed_files, read_manifest
from maas_export.catalogue import TorchModel
from maas_export.formats.choice import config_in
from maas_export.formats.kinds import INT8, TENSORRT
from maas_export.weights import TrainingRecord

ONNX_FILE = "model.onnx"


@dataclass(frozen=True)
class Derivation:
    """What is made of what.

    Attributes:
        base: the verified ``onnx`` bundle.
        record: how its weights came to be.
        seed: of the choice of calibration samples.
        data: what the weights were trained on, where that is not the built-in data.
    """

    model: TorchModel
    bundle_format: str
    base: Path
    record: TrainingRecord
    seed: int
    data: Path | None = None


def write_derived(wanted: Derivation, folder: Path) -> dict[str, Any]:
    """Writes all files of the bundle but its manifest; returns what the format adds to the manifest.

    Raises:
        NotHeld: where the base is not verified, or what is made of it does not hold.
        WrongUse: where the model cannot have this format, or this machine cannot make it.
    """
    manifest = read_manifest(wanted.base)
    stamp = manifest.verification
    if stamp is None or not stamp.passed or changed_files(wanted.base, manifest):
        raise NotHeld(f"{wanted.base} is not verified", f"run `maas export {wanted.model.name}` first")
    model, graph = wanted.model, wanted.base / ONNX_FILE
    config = config_in(model, wanted.bundle_format)
    (folder / CONFIG_FILE).write_text(dump_config(config), encoding="utf-8")
    if (wanted.base / LABELS_FILE).is_file():
        shutil.copyfile(wanted.base / LABELS_FILE, folder / LABELS_FILE)
    samples = load_golden(wanted.base / GOLDEN_FILE)
    facts: dict[str, Any] = {"opset": manifest.opset}
    if wanted.bundle_format == INT8:
        from maas_export.formats.int8 import answers_of, check_takes_int8, data_of, write_int8

        check_takes_int8(model, graph)
        split = data_of(model, wanted.record, wanted.data)
        target = folder / ONNX_FILE
        facts["quantization"] = write_int8(model, graph, target, split, samples, wanted.seed)
        save_golden(folder / GOLDEN_FILE, answers_of(target, samples))
        return facts
    if wanted.bundle_format == TENSORRT:
        from maas_export.formats.build_progress import shown
        from maas_export.formats.engine import PLAN_FILE, write_engine

        with shown() as progress:
            facts["engine"] = write_engine(model, graph, folder / PLAN_FILE, samples, progress=progress)
    else:
        shutil.copyfile(graph, folder / ONNX_FILE)
    shutil.copyfile(wanted.base / GOLDEN_FILE, folder / GOLDEN_FILE)
    return facts
