"""Mending what can be mended without asking: the text of a configuration, and files that no one misses.

Text is changed where it is wrong and nowhere else; comments and order stay. What was changed is parsed again and must
be the very message that was wanted, or nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from maas_core.config import CONFIG_FILE
from maas_core.errors import MaasError
from maas_core.files import write_atomic
from maas_export.lint.fields import FieldPath, Fields
from maas_export.lint.finding import Finding
from maas_export.lint.inspection import Inspection, Options, enum_name
from maas_export.lint.scan import Model, scan

_MADE_BY_DESKTOPS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
_NOT_FOR_ENSEMBLES = ("instance_group", "optimization", "model_warmup")


@dataclass(frozen=True)
class Fixed:
    """One thing that was mended."""

    path: Path
    what: str


@dataclass(frozen=True)
class _Edit:
    """One change: what becomes of the message, and of the text.

    Attributes:
        apply: changes the message.
        at: the field whose statements are taken out of the text.
        instead: what stands there then; empty for nothing.
    """

    what: str
    apply: Callable[[Any], None]
    at: FieldPath
    instead: str = ""


def fix(root: Path, options: Options, findings: Sequence[Finding]) -> list[Fixed]:
    """Mends what ``--fix`` mends; a second call finds nothing to do.

    Args:
        root: what was linted; of a bundle nothing is touched, its files are listed in its manifest.
        options: as for linting.
        findings: what was found, without what is ignored.

    Raises:
        MaasError: where a file cannot be written.
    """
    broken = {(found.model, found.rule.id) for found in findings if found.rule.is_fixable}
    fixed: list[Fixed] = []
    try:
        for model in scan(root):
            if model.is_bundle:
                continue
            rules = {rule for name, rule in broken if name == model.name}
            fixed += _fix_config(model, Inspection(model, {}, options), rules)
            if "stray-entry" in rules:
                fixed += _remove_junk(model)
    except OSError as error:
        raise MaasError(f"{error.filename} cannot be mended: {error.strerror}", "get the right to write it") from error
    return fixed


def _remove_junk(model: Model) -> list[Fixed]:
    junk = [model.folder / name for name in model.files if name in _MADE_BY_DESKTOPS]
    for path in junk:
        path.unlink()
    return [Fixed(path, "removed: a desktop made it") for path in junk]


def _fix_config(model: Model, inspection: Inspection, rules: set[str]) -> list[Fixed]:
    if model.config is None:
        return []
    fixed: list[Fixed] = []
    for rule, edits in _EDITS.items():
        for edit in edits(inspection) if rule in rules else ():
            wanted = type(model.config)()
            wanted.CopyFrom(model.config)
            edit.apply(wanted)
            text = _without(model.text, edit.at, edit.instead)
            if text_format.Parse(text, type(wanted)()) != wanted:
                continue
            model.text, model.config = text, wanted
            # The places of the fields belong to the text before.
            model.__dict__.pop("fields", None)
            fixed.append(Fixed(model.config_path, edit.what))
    if fixed:
        write_atomic(model.folder / CONFIG_FILE, model.text)
    return fixed


def _without(text: str, at: FieldPath, instead: str) -> str:
    """``text`` without the statements at ``at``; lines that nothing is left of go with them."""
    spans = sorted({(found.start, found.end) for found in Fields(text).find(at)}, reverse=True)
    for start, end in spans:
        replacement = instead if (start, end) == spans[-1] else ""
        line_start = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", end)
        line_end = len(text) if line_end < 0 else line_end + 1
        if not replacement and not text[line_start:start].strip() and not text[end:line_end].strip():
            start, end = line_start, line_end
        text = text[:start] + replacement + text[end:]
    return text


def _name(inspection: Inspection) -> list[_Edit]:
    name = inspection.model.name

    def apply(config: Any) -> None:
        config.name = name

    return [_Edit(f"name is now '{name}', as the folder's", apply, ("name",), f'name: "{name}"')]


def _idle_batching(inspection: Inspection) -> list[_Edit]:
    batching = inspection.config.dynamic_batching
    plain = type(batching)(
        preferred_batch_size=batching.preferred_batch_size,
        max_queue_delay_microseconds=batching.max_queue_delay_microseconds,
    )
    if batching != plain:
        # Queues, priorities and order work without batches too.
        return []
    return [_clear("dynamic_batching", "dynamic_batching is out: no batch could form")]


def _preferred(inspection: Inspection) -> list[_Edit]:
    edits = []
    for path in (("dynamic_batching",), ("sequence_batching", "oldest")):
        batching = inspection.config
        for name in path:
            batching = getattr(batching, name)
        kept = [size for size in batching.preferred_batch_size if 0 < size <= inspection.config.max_batch_size]
        if len(kept) == len(batching.preferred_batch_size):
            continue

        def apply(config: Any, path: Sequence[str] = path, kept: Sequence[int] = tuple(kept)) -> None:
            for name in path:
                config = getattr(config, name)
            config.preferred_batch_size[:] = kept

        instead = f"preferred_batch_size: {kept}" if kept else ""
        what = f"preferred_batch_size is now {kept}" if kept else "preferred_batch_size is out: none was possible"
        edits.append(_Edit(what, apply, (*path, "preferred_batch_size"), instead))
    return edits


def _response_cache(inspection: Inspection) -> list[_Edit]:
    return [_clear("response_cache", "response_cache is out: Triton has none for such models")]


def _gpu_kind(inspection: Inspection) -> list[_Edit]:
    edits = []
    for index, group in enumerate(inspection.config.instance_group):
        if enum_name(group, "kind") == "KIND_GPU" and not group.gpus:
            edits.append(_clear_of_group(index, "kind", "kind is out: Triton chooses GPU or CPU by what is there"))
    return edits


def _groups(inspection: Inspection) -> list[_Edit]:
    edits = []
    for index, group in enumerate(inspection.config.instance_group):
        if group.gpus and enum_name(group, "kind") in ("KIND_CPU", "KIND_MODEL"):
            edits.append(_clear_of_group(index, "gpus", "gpus is out: the group is not on a GPU"))
        if group.profile and inspection.model.backend != "tensorrt":
            edits.append(_clear_of_group(index, "profile", "profile is out: only TensorRT has them"))
    return edits


def _ensemble_fields(inspection: Inspection) -> list[_Edit]:
    config = inspection.config
    return [
        _clear(name, f"{name} is out: it belongs to the steps")
        for name in _NOT_FOR_ENSEMBLES
        if (config.HasField(name) if name == "optimization" else len(getattr(config, name)))
    ]


def _clear(name: str, what: str) -> _Edit:
    return _Edit(what, lambda config: config.ClearField(name), (name,))


def _clear_of_group(index: int, name: str, what: str) -> _Edit:
    return _Edit(
        f"instance_group {index}: {what}",
        lambda config: config.instance_group[index].ClearField(name),
        ("instance_group", index, name),
    )


_EDITS: dict[str, Callable[[Inspection], list[_Edit]]] = {
    "name-differs": _name,
    "preferred-batch-size": _preferred,
    "batching-idle": _idle_batching,
    "response-cache": _response_cache,
    "instance-gpu": _gpu_kind,
    "instance-group": _groups,
    "ensemble-fields": _ensemble_fields,
}
