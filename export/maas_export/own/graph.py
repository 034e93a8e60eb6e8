"""A user's module as one ONNX file, and which axis is to blame where torch does not let it be dynamic."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch

from maas_core.errors import MaasError, WrongUse
from maas_core.golden import Tensors
from maas_core.spec import ModelSpec
from maas_export.graph_signature import dynamic_axes, graph_problems
from maas_export.imported.shapes import write_shapes
from maas_export.imported.signature import BATCH_AXIS, GraphTensor, Signature
from maas_export.onnx_export import capture, slimmed, unslimmed
from maas_export.own.adapter import Adapter
from maas_export.own.plan import Plan


def write_onnx(plan: Plan, path: Path) -> None:
    """Exports the module.

    Raises:
        WrongUse: where torch cannot, naming the axis that cannot be dynamic if there is one.
        MaasError: where the graph does not keep the spec's names and axes.
    """
    spec = plan.spec
    inputs = {tensor.name: plan.example[tensor.name] for tensor in spec.inputs}
    try:
        program = capture(plan.adapter, spec, inputs, takes_any_number=True)
    except MaasError:
        raise
    except Exception as error:  # torch raises many types for what it cannot trace
        raise _refusal(plan.adapter, spec, inputs, error) from error
    graph = slimmed(unslimmed(program))
    # torch.export tells the sizes of outputs as formulas, or wrongly for recurrent layers; they were seen at several.
    lead = (BATCH_AXIS,) if spec.serving.max_batch_size else ()
    seen = tuple(GraphTensor(each.name, each.datatype, (*lead, *each.dims)) for each in spec.outputs)
    write_shapes(graph, Signature((), seen, spec.serving.max_batch_size))
    problems = graph_problems(graph, spec)
    if problems:
        raise MaasError(
            f"the ONNX graph does not fit the spec: {'; '.join(problems)}", "leave a frozen axis out of axes"
        )
    onnx.save(graph, path)


def _refusal(adapter: Adapter, spec: ModelSpec, inputs: Tensors, error: Exception) -> WrongUse:
    for axis in _axes(spec):
        reason = _obstacle(adapter, spec, inputs, axis)
        if reason:
            return WrongUse(
                f"axis {axis!r} cannot be dynamic for torch.export: {reason}", "leave it out of axes, or mend forward()"
            )
    return WrongUse(f"torch.onnx.export fails: {_short(error)}", "see what torch.export supports, and change forward()")


def _axes(spec: ModelSpec) -> Sequence[str]:
    named = [dim for tensor in spec.inputs for dim in tensor.dims if isinstance(dim, str)]
    return tuple(dict.fromkeys([*named, *([BATCH_AXIS] if spec.serving.max_batch_size else [])]))


def _obstacle(adapter: Adapter, spec: ModelSpec, inputs: Tensors, axis: str) -> str:
    """Why the module cannot be traced with this axis alone dynamic; empty where it can."""
    shapes = tuple(
        {position: torch.export.Dim.DYNAMIC for position, name in dynamic_axes(tensor, spec).items() if name == axis}
        for tensor in spec.inputs
    )
    given = tuple(torch.from_numpy(value) for value in inputs.values())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.export(adapter, given, dynamic_shapes=(shapes,))
    except Exception as error:  # noqa: BLE001  # see above
        return _short(error)
    return ""


def _short(error: BaseException) -> str:
    """The innermost reason, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__
