"""torch -> ONNX, with named dynamic axes, and the proof that the axes stayed dynamic."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from onnx import numpy_helper
from torch import nn

from maas_core.dtypes import NUMPY_OF, ONNX_OF, TRITON_OF_ONNX
from maas_core.errors import MaasError
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, TensorSpec, graph_inputs, graph_outputs
from maas_export.catalogue import TorchModel
from maas_export.onnx_names import give_names, reserved
from maas_export.recurrent_export import recurrent_layers_as_loops

OPSET = 20
"""Attention stays made of plain operators (opset 23 makes it one whose mask the CPU provider refuses)."""
IR_VERSION = 10
"""The newest that onnxruntime 1.19 of Triton 24.10 reads."""
BATCH_AXIS = "batch"
_EXAMPLE_BATCH = 2
"""Size 1 on a dynamic axis would be taken for a constant."""


def export_onnx(model: TorchModel, module: nn.Module, path: Path) -> None:
    """Writes ``module`` as one ONNX file.

    Raises:
        MaasError: where the module is in training mode, or the graph does not keep the spec's names and axes.
    """
    graph = slimmed(unslimmed(captured(model, module)))
    problems = graph_problems(graph, model.spec)
    if problems:
        raise MaasError(f"the ONNX graph of {model.name} does not fit its spec: {'; '.join(problems)}", "mend the spec")
    onnx.save(graph, path)


def captured(model: TorchModel, module: nn.Module) -> torch.onnx.ONNXProgram:
    """The graph as torch gives it, and the torch program that it was made from.

    Raises:
        MaasError: where the module is in training mode, or torch makes no program of it.
    """
    return capture(module, model.spec, _example_inputs(model))


def capture(
    module: nn.Module, spec: ModelSpec, inputs: Tensors, *, takes_any_number: bool = False
) -> torch.onnx.ONNXProgram:
    """The graph of a module as torch gives it.

    Args:
        module: takes the spec's inputs by position.
        spec: what the graph's inputs, outputs and dynamic axes are called.
        inputs: one example, every dynamic axis at least 2 long.
        takes_any_number: ``forward`` is written with ``*inputs``.

    Raises:
        MaasError: where the module is in training mode, or torch makes no program of it.
    """
    if any(part.training for part in module.modules()):
        raise MaasError(f"{spec.name} is in training mode", "call eval() on the module before exporting it")
    axes = tuple(dynamic_axes(tensor, spec) for tensor in graph_inputs(spec))
    # The exporter's own deprecations, and that torchvision is missing, say nothing about the model.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), recurrent_layers_as_loops():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(torch.from_numpy(value) for value in inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=reserved(list(inputs)),
            output_names=reserved([tensor.name for tensor in graph_outputs(spec)]),
            dynamic_shapes=(axes,) if takes_any_number else axes,
            verbose=False,
        )
    if program is None:
        raise MaasError(f"torch.onnx.export gave no program for {spec.name}", "try another torch version")
    return program


def unslimmed(program: torch.onnx.ONNXProgram) -> onnx.ModelProto:
    """Every node that torch wrote; where each comes from stands in its metadata."""
    graph: onnx.ModelProto = program.model_proto
    give_names(graph)
    return graph


def _example_inputs(model: TorchModel) -> dict[str, Array]:
    """What the graph takes, in its order; a stateful model's steps make a batch here, and its states are zero."""
    samples = model.sample_inputs(np.random.default_rng(0), _EXAMPLE_BATCH)
    states = model.spec.sequence.states if model.spec.sequence else ()
    return {
        **{tensor.name: samples[tensor.name] for tensor in model.spec.inputs},
        **{state.input: np.zeros((_EXAMPLE_BATCH, *state.dims), NUMPY_OF[state.datatype]) for state in states},
    }


def dynamic_axes(tensor: TensorSpec, spec: ModelSpec) -> dict[int, str]:
    """The names of a tensor's dynamic axes in the graph, by position."""
    offset = 1 if spec.serving.max_batch_size else 0
    axes = {position + offset: dim for position, dim in enumerate(tensor.dims) if isinstance(dim, str)}
    return {0: BATCH_AXIS, **axes} if offset else axes


def slimmed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constants folded, and without the metadata, which holds paths of the building machine."""
    # Shapes fold nothing more in what torch gives, and take longer than all the rest.
    slim: onnx.ModelProto = onnxslim.slim(model, no_shape_infer=True)
    slim.ir_version = IR_VERSION
    slim.doc_string = ""
    for holder in (slim, slim.graph, *slim.graph.node, *slim.graph.input, *slim.graph.output, *slim.graph.value_info):
        holder.ClearField("doc_string")
        holder.ClearField("metadata_props")
    onnx.checker.check_model(slim, full_check=True)
    return slim


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
