"""Ensembles: the flow of tensors from step to step, and each step held against the configuration of its model.

Source: ``ValidateEnsembleSchedulingConfig`` (``model_config_utils.cc``) and ``ValidateEnsembleConfig``
(``ensemble_utils.cc``) of Triton.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maas_export.lint.inspection import Inspection, Tensor
from maas_export.lint.scan import Model, names_of

_NOT_FOR_ENSEMBLES = ("instance_group", "optimization", "model_warmup")
_NEWEST = -1


@dataclass(frozen=True)
class _Use:
    """What one place says about a tensor of the ensemble."""

    tensor: Tensor
    model: str
    is_batching: bool

    @property
    def full_dims(self) -> tuple[int, ...]:
        """With the batch axis where there is one."""
        return (-1, *self.tensor.dims) if self.is_batching else self.tensor.dims

    def fits(self, other: _Use) -> bool:
        """Equal, or unknown, axis by axis; a model without batching may see the batch as its own first axis."""
        return _same_dims(self.tensor.dims, other.tensor.dims) or _same_dims(self.full_dims, other.full_dims)


def check_ensemble(inspection: Inspection) -> None:
    """All that is particular to an ensemble."""
    if not inspection.model.is_ensemble:
        return
    _check_fields(inspection)
    _check_steps(inspection)
    _check_flow(inspection)
    _check_circle(inspection)
    _check_types(inspection)


def _check_fields(inspection: Inspection) -> None:
    config = inspection.config
    if config.platform != "ensemble":
        what = f"ensemble scheduling cannot be set for model '{inspection.model.name}' whose platform is not ensemble"
        inspection.report("platform-differs", what, ("ensemble_scheduling",))
    if not config.HasField("ensemble_scheduling"):
        what = f"ensemble scheduling must be set for ensemble {inspection.model.name} whose platform is ensemble"
        inspection.report("ensemble-fields", what, ("platform",))
    elif not config.ensemble_scheduling.step:
        inspection.report("ensemble-step-incomplete", "must specify 'step'", ("ensemble_scheduling",))
    for name in _NOT_FOR_ENSEMBLES:
        if config.HasField(name) if name == "optimization" else len(getattr(config, name)):
            what = f"{name} should not be specified for ensemble '{inspection.model.name}'"
            inspection.report("ensemble-fields", what, (name,))


def _check_steps(inspection: Inspection) -> None:
    for index, step in enumerate(inspection.config.ensemble_scheduling.step):
        at = ("ensemble_scheduling", "step", index)
        missing = [name for name in ("model_name", "input_map", "output_map") if not len(getattr(step, name))]
        for name in missing:
            inspection.report("ensemble-step-incomplete", f"must specify '{name}' in step {index}", at)
        model = inspection.others.get(step.model_name)
        if model is None and step.model_name:
            what = f"contains models that are not available: {step.model_name}"
            inspection.report("ensemble-step-missing", what, (*at, "model_name"))
        elif model is not None and model.served and step.model_version not in (_NEWEST, *model.served):
            there = ", ".join(map(str, model.served))
            what = f"step {index} wants version {step.model_version} of {model.name}, which serves {there}"
            inspection.report("ensemble-step-version", what, (*at, "model_version"))


def _check_flow(inspection: Inspection) -> None:
    config = inspection.config
    steps = config.ensemble_scheduling.step
    if not steps:
        return
    inputs, outputs = names_of(config.input), names_of(config.output)
    written = _written(inspection)
    read = {name for step in steps for name in step.input_map.values()}
    for index, name in enumerate(inputs):
        if name not in read | written:
            inspection.report("ensemble-unused", f"ensemble input '{name}' is not used", ("input", index))
    ready = _ready(steps, inputs)
    for index, name in enumerate(outputs):
        if name not in ready:
            what = f"output '{name}' is not written" + _reason(steps, name, ready, written)
            inspection.report("ensemble-unwritten", what, ("output", index))
    _check_inner_tensors(inspection, ready=ready, written=written, used=read | set(outputs))


def _check_inner_tensors(inspection: Inspection, *, ready: set[str], written: set[str], used: set[str]) -> None:
    for index, step in enumerate(inspection.config.ensemble_scheduling.step):
        at = ("ensemble_scheduling", "step", index)
        for key, name in sorted(step.input_map.items()):
            if name not in ready:
                why = "waits for a step that waits for it" if name in written else "is written by no step"
                what = f"ensemble tensor '{name}', input of {step.model_name}, {why}"
                inspection.report("ensemble-unwritten", what, (*at, "input_map", key))
        for key, name in sorted(step.output_map.items()):
            if name not in used:
                inspection.report("ensemble-unused", f"ensemble tensor '{name}' is unused", (*at, "output_map", key))


def _written(inspection: Inspection) -> set[str]:
    written: set[str] = set()
    for index, step in enumerate(inspection.config.ensemble_scheduling.step):
        for key, name in sorted(step.output_map.items()):
            if name in written:
                what = f"ensemble tensor '{name}' can appear in an output map only once"
                at = ("ensemble_scheduling", "step", index, "output_map", key)
                inspection.report("ensemble-written-twice", what, at)
            written.add(name)
    return written


def _ready(steps: Sequence[Any], inputs: Sequence[str]) -> set[str]:
    """The tensors that get a value, when every step runs as soon as its inputs are there."""
    ready = set(inputs)
    waiting = list(steps)
    while True:
        running = [step for step in waiting if set(step.input_map.values()) <= ready]
        if not running:
            return ready
        waiting = [step for step in waiting if step not in running]
        ready |= {name for step in running for name in step.output_map.values()}


def _reason(steps: Sequence[Any], output: str, ready: set[str], written: set[str]) -> str:
    if output not in written:
        return ": no step's output is mapped to it"
    writer = next(step for step in steps if output in step.output_map.values())
    missing = sorted(set(writer.input_map.values()) - ready)
    return f": at least one of its depending tensors, '{missing[0]}', is not connected" if missing else ""


def _check_circle(inspection: Inspection) -> None:
    for index, step in enumerate(inspection.config.ensemble_scheduling.step):
        if inspection.model.name in _reached(step.model_name, inspection):
            what = f"circular dependency: {step.model_name} leads back to {inspection.model.name}"
            inspection.report("ensemble-circle", what, ("ensemble_scheduling", "step", index, "model_name"))


def _reached(name: str, inspection: Inspection) -> set[str]:
    """``name`` and all models that it is made of."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        model = inspection.others.get(current)
        if current in reached or model is None or model.config is None:
            continue
        reached.add(current)
        waiting += [step.model_name for step in model.config.ensemble_scheduling.step]
    return reached


def _check_types(inspection: Inspection) -> None:
    config, own = inspection.config, inspection.model
    is_batching = config.max_batch_size > 0
    uses: dict[str, _Use] = {}
    for side in ("input", "output"):
        for tensor in inspection.tensors(own, side) or ():
            uses.setdefault(tensor.name, _Use(tensor, own.name, is_batching))
    for index, step in enumerate(config.ensemble_scheduling.step):
        model = inspection.others.get(step.model_name)
        if model is None or model.config is None or model is own:
            continue
        largest = model.config.max_batch_size
        if largest and largest < config.max_batch_size:
            what = (
                f"allows maximum batch size {config.max_batch_size}, but it contains model {model.name} which only "
                f"allows maximum batch size to be {largest}"
            )
            inspection.report("ensemble-batch-size", what, ("ensemble_scheduling", "step", index, "model_name"))
        for side in ("input", "output"):
            _check_map(inspection, index, model, side, uses)


def _check_map(inspection: Inspection, index: int, model: Model, side: str, uses: dict[str, _Use]) -> None:
    tensors = inspection.tensors(model, side)
    if tensors is None:
        return
    step = inspection.config.ensemble_scheduling.step[index]
    at = ("ensemble_scheduling", "step", index, f"{side}_map")
    mapped = getattr(step, f"{side}_map")
    by_name = {tensor.name: tensor for tensor in tensors}
    for key, name in sorted(mapped.items()):
        if key not in by_name:
            what = f"ensemble tensor {name} is mapped to non-existing {side} {key} of model {model.name}"
            inspection.report("ensemble-map", what, (*at, key))
            continue
        use = _Use(by_name[key], model.name, model.config.max_batch_size > 0)
        known = uses.setdefault(name, use)
        _check_same(inspection, name, known, use, (*at, key))
    if side == "input":
        for tensor in tensors:
            if tensor.name not in mapped and not tensor.optional:
                what = f"input {tensor.name} in model {model.name} is not mapped to any ensemble tensors"
                inspection.report("ensemble-unmapped", what, at)


def _check_same(inspection: Inspection, name: str, known: _Use, use: _Use, at: tuple[str | int, ...]) -> None:
    if known.tensor.datatype != use.tensor.datatype:
        what = (
            f"ensemble tensor {name}: inconsistent data type: {known.tensor.datatype} is inferred from model "
            f"{known.model} while {use.tensor.datatype} is inferred from model {use.model}"
        )
        inspection.report("ensemble-type", what, at)
    elif not known.fits(use):
        what = (
            f"ensemble tensor {name}: inconsistent shape: {list(known.full_dims)} is inferred from model "
            f"{known.model} while {list(use.full_dims)} is inferred from model {use.model}"
        )
        inspection.report("ensemble-type", what, at)


def _same_dims(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))
