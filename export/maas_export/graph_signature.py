"""What a graph's inputs, outputs and dynamic axes have to be, and the proof that they are. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import numpy_helper

from maas_core.dtypes import ONNX_OF, TRITON_OF_ONNX
from maas_core.spec import ModelSpec, TensorSpec, graph_inputs, graph_outputs

OPSET = 20
"""Attention stays made of plain operators (opset 23 makes it one whose mask the CPU provider refuses)."""
IR_VERSION = 10
"""The newest that onnxruntime 1.19 of Triton 24.10 reads."""
BATCH_AXIS = "batch"


def dynamic_axes(tensor: TensorSpec, spec: ModelSpec) -> dict[int, str]:
    """The names of a tensor's dynamic axes in the graph, by position."""
    offset = 1 if spec.serving.max_batch_size else 0
    axes = {position + offset: dim for position, dim in enumerate(tensor.dims) if isinstance(dim, str)}
    return {0: BATCH_AXIS, **axes} if offset else axes


def graph_problems(model: onnx.ModelProto, spec: ModelSpec, opset: int = OPSET) -> list[str]:
    """What in the graph's signature contradicts the spec, a few words each; empty where nothing does."""
    problems = [
        f"opset is {entry.version}, wanted {opset}"
        for entry in model.opset_import
        if entry.domain in ("", "ai.onnx") and entry.version != opset
    ]
    problems += _left_in_training(model)
    batched = spec.serving.max_batch_size > 0
    for kind, wanted, values in (
        ("input", graph_inputs(spec), model.graph.input),
        ("output", graph_outputs(spec), model.graph.output),
    ):
        found: Mapping[str, Any] = {value.name: value.type.tensor_type for value in values}
        if list(found) != [tensor.name for tensor in wanted]:
            problems.append(f"{kind}s are {', '.join(found)}; wanted {', '.join(tensor.name for tensor in wanted)}")
        for tensor in wanted:
            if tensor.name in found:
                problems += _tensor_problems(tensor, found[tensor.name], batched)
    return problems


def _left_in_training(model: onnx.ModelProto) -> list[str]:
    """Nodes that work as in training: some runtimes drop a Dropout, some obey it, so that answers cannot tell."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    problems = []
    for node in model.graph.node:
        mode = node.input[2] if node.op_type == "Dropout" and len(node.input) > 2 else ""
        is_off = mode in constants and not numpy_helper.to_array(constants[mode]).any()
        trains = any(entry.name == "training_mode" and entry.i for entry in node.attribute)
        if (mode and not is_off) or trains:
            problems.append(f"{node.op_type} {node.name} is in training mode")
    return problems


def _tensor_problems(tensor: TensorSpec, found: Any, batched: bool) -> list[str]:
    if found.elem_type != ONNX_OF[tensor.datatype]:
        return [f"{tensor.name} is {TRITON_OF_ONNX.get(found.elem_type, '?')}, wanted {tensor.datatype}"]
    wanted = [*([BATCH_AXIS] if batched else []), *tensor.dims]
    dims = list(found.shape.dim)
    if len(dims) != len(wanted):
        return [f"{tensor.name} has {len(dims)} axes, wanted {len(wanted)}"]
    problems = []
    for position, (dim, want) in enumerate(zip(dims, wanted, strict=True)):
        size = dim.dim_value if dim.HasField("dim_value") else None
        if isinstance(want, str) and size is not None:
            problems.append(f"axis {position} ({want}) of {tensor.name} is frozen at {size}")
        if isinstance(want, int) and size != want:
            problems.append(f"axis {position} of {tensor.name} is {size or dim.dim_param}, wanted {want}")
    return problems
