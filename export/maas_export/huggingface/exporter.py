"""A folder of Hugging Face's libraries becomes bundles: its networks, what stands around them, the ensemble."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maas_core.errors import MaasError, WrongUse
from maas_core.files import sha256_of
from maas_core.golden import GOLDEN_FILE, save_golden
from maas_core.layout import bundle_dir, bundles_dir
from maas_core.names import check_model_name
from maas_core.spec import ModelSpec, Serving
from maas_export.bundle import asset_digests, is_current, recorded_versions, required_digests, samples_of, write_sources
from maas_export.bundle_model import BundleRecord, Guess, Origin, read_record
from maas_export.catalogue import CatalogueModel, PythonModel, all_models, requirements
from maas_export.huggingface.bundled import JoinedModel
from maas_export.huggingface.directory import PROCESSOR_FILE, Directory, read_directory
from maas_export.huggingface.picture import picture_settings
from maas_export.huggingface.steps import PictureStep, TextStep, joined_spec, picture_spec, text_spec
from maas_export.huggingface.tasks import MODEL, Task, task_named
from maas_export.own.bundling import finish
from maas_export.own.exporter import Exported, export_own
from maas_export.own.source import Source
from maas_export.python_models import source_files
from maas_export.references import reference_of
from maas_export.staging import staged
from maas_export.steps import RankLabels

_MOST_TOKENS = 512
_TOP_K = 5


def export_directory(path: Path, task_name: str | None, *, name: str | None, seed: int) -> Iterator[Exported]:
    """Writes the bundles one by one; each must be verified before the next is asked for, since an ensemble needs that.

    Args:
        path: the folder.
        task_name: one of :mod:`maas_export.huggingface.tasks`.
        name: what people call the model; else the folder's name.
        seed: of the golden samples.

    Raises:
        WrongUse: where folder, task or name cannot be used.
    """
    task = task_named(task_name)
    directory = read_directory(path)
    base = check_model_name(name or directory.path.name)
    if base in all_models():
        raise WrongUse(f"{base!r} is a model of the catalogue", "choose another --name")
    has_step = len(task.parts) == 1 and _may_have_step(directory, task_name or "")
    for part in task.parts:
        source = Source("huggingface", str(directory.path), part, task_name or "")
        network = f"{base}_{part}" if has_step or len(task.parts) > 1 else base
        done = export_own(source, name=network, seed=seed)
        yield Exported(done.bundle, done.is_new, (*_weights_guess(directory), *done.guesses))
    if has_step:
        yield from _around(directory, task, base, seed)


def _may_have_step(directory: Directory, task: str) -> bool:
    if task in ("image-classification", "object-detection"):
        return bool(directory.json(PROCESSOR_FILE)) and _settings(directory) is not None
    is_text = task in ("text-classification", "feature-extraction")
    return is_text and (directory.tokenizer is not None or _settings(directory) is not None)


def _settings(directory: Directory) -> dict[str, Any] | None:
    return picture_settings(directory.json(PROCESSOR_FILE), directory.config.get("image_size"))


def _around(directory: Directory, task: Task, base: str, seed: int) -> Iterator[Exported]:
    """The steps before and behind the network, and the ensemble."""
    network = read_record(bundle_dir(f"{base}_{MODEL}", "onnx")).spec
    first = _first_step(directory, base, network)
    yield _written(first, first.source, directory, seed)
    last = None
    logits = network.outputs[0]
    if task.is_classified and logits.labels:
        error = first.spec.outputs[-1]
        ranking = RankLabels(
            f"{base}_labels",
            logits,
            error,
            what="classes",
            top_k=min(_TOP_K, len(logits.labels)),
            max_batch_size=network.serving.max_batch_size,
        )
        yield _written(ranking, ranking.source, directory, seed)
        last = ranking.spec
    joined = JoinedModel(joined_spec(base, first, network, last), bundles_dir())
    yield _written(joined, "", directory, seed)


def _first_step(directory: Directory, base: str, network: ModelSpec) -> PythonModel:
    serving = Serving(network.serving.max_batch_size)
    names = {tensor.name: tensor for tensor in network.inputs}
    if "pixel_values" in names:
        settings = _settings(directory)
        text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
        return PictureStep(picture_spec(f"{base}_picture", serving, names["pixel_values"]), text.encode())
    if directory.tokenizer is None:
        raise MaasError(f"{directory.path} has no tokenizer.json", "save the tokenizer beside the model")
    vocabulary = directory.tokenizer.read_bytes()
    pad = int(directory.config.get("pad_token_id") or 0)
    spec = text_spec(f"{base}_tokenizer", serving, max_tokens=_max_tokens(directory, pad), pad=pad)
    return TextStep(spec, vocabulary)


def _max_tokens(directory: Directory, pad: int) -> int:
    """What the network has positions for; the RoBERTa family counts them from behind the padding's number."""
    positions = int(directory.config.get("max_position_embeddings") or _MOST_TOKENS)
    if "roberta" in directory.config["model_type"]:
        positions -= pad + 1
    said = directory.json("tokenizer_config.json").get("model_max_length") or _MOST_TOKENS
    return max(1, int(min(positions, said)))


def _written(model: CatalogueModel, source: str, directory: Directory, seed: int) -> Exported:
    """The bundle of a step or an ensemble."""
    target = bundle_dir(model.name, model.bundle_format)
    record = BundleRecord(
        spec=model.spec,
        opset=0,
        ranges={},
        axis_sizes={},
        from_samples=False,
        has_independent_rung=False,
        guesses=(),
        origin=Origin(f"hf:{directory.path.name}", ""),
        source=source,
    )
    key = _key(model, record, seed)
    if is_current(target, key):
        return Exported(target, False, ())
    reference = reference_of(model, {})
    if reference is None:
        raise MaasError(f"the parts of {model.name} have no reference", "export them first")
    with staged(target, model.name) as folder:
        if isinstance(model, PythonModel):
            write_sources(model, folder)
        save_golden(folder / GOLDEN_FILE, samples_of(model, reference, seed, "golden"))
        finish(
            folder,
            record,
            bundle_format=model.bundle_format,
            key=key,
            seed=seed,
            versions=recorded_versions(),
            requires=requirements(model),
        )
    return Exported(target, True, ())


def _key(model: CatalogueModel, record: BundleRecord, seed: int) -> str:
    parts = {
        "record": repr(record),
        "sources": {path.name: sha256_of(path) for path in (source_files(record.source) if record.source else ())},
        "assets": asset_digests(model) if isinstance(model, PythonModel) else {},
        "steps": required_digests(model, bundles_dir()),
        "versions": recorded_versions(),
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _weights_guess(directory: Directory) -> list[Guess]:
    if directory.has_weights:
        return []
    return [Guess("weights", "random", "the folder has a configuration, but no *.safetensors")]
