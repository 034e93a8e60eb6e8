"""Exported ONNX files with one thing wrong each, as a bad exporter or a bad disk would leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper


def unchanged(model: onnx.ModelProto) -> None:
    """The control: written again, nothing else."""


def change_one_weight(model: onnx.ModelProto) -> None:
    """One number of the last layer's bias, by a hundredth."""
    bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [10])
    values = numpy_helper.to_array(bias).copy()
    values[3] += 0.01
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))


def freeze_batch_axis(model: onnx.ModelProto) -> None:
    """What an exporter does that took the example's batch of 2 for a constant."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].ClearField("dim_param")
        value.type.tensor_type.shape.dim[0].dim_value = 2


def answer_nan(model: onnx.ModelProto) -> None:
    """One logit of every answer is NaN."""
    bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [10])
    values = numpy_helper.to_array(bias).copy()
    values[7] = np.nan
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))


def rename_output(model: onnx.ModelProto) -> None:
    """The output has a name of the exporter's own."""
    for node in model.graph.node:
        node.output[:] = ["output_0" if name == "logits" else name for name in node.output]
    model.graph.output[0].name = "output_0"


def mutate(path: Path, mutation: object) -> None:
    """Applies one of the functions above to an ONNX file."""
    model = onnx.load(path)
    assert callable(mutation)
    mutation(model)
    onnx.save(model, path)
