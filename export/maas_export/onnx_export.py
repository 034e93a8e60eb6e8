"""torch -> ONNX, with named dynamic axes."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxslim
import torch
from torch import nn

from maas_core.dtypes import NUMPY_OF
from maas_core.errors import MaasError
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, graph_inputs, graph_outputs
from maas_export.catalogue import TorchModel
from maas_export.graph_signature import IR_VERSION, OPSET, dynamic_axes, graph_problems
from maas_export.onnx_names import give_names, reserved
from maas_export.recurrent_export import recurrent_layers_as_loops

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
