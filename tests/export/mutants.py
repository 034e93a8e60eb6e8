"""Exported files with one thing wrong each, as a bad exporter, a bad disk or a bad day would leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

Mutation = Callable[[onnx.ModelProto], None]


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


def freeze_inner_axis(model: onnx.ModelProto) -> None:
    """The same of the length of the frames."""
    dim = model.graph.input[0].type.tensor_type.shape.dim[1]
    dim.ClearField("dim_param")
    dim.dim_value = 5


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


def wrong_opset(model: onnx.ModelProto) -> None:
    """The same graph, said to be of another operator set."""
    model.opset_import[0].version = 19


def transpose_layout(model: onnx.ModelProto) -> None:
    """Height and width of the picture exchanged: its shape is the same."""
    (picture,) = model.graph.input
    for node in model.graph.node:
        node.input[:] = ["turned" if name == picture.name else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Transpose", [picture.name], ["turned"], "turn", perm=[0, 1, 3, 2]))


def swap_outputs(model: onnx.ModelProto) -> None:
    """Each head answers under the other's name."""
    other = {"left": "right", "right": "left"}
    for node in model.graph.node:
        node.output[:] = [other.get(name, name) for name in node.output]


def keep_dropout(model: onnx.ModelProto) -> None:
    """What an export of a module in training mode holds."""
    position, relu = next((place, node) for place, node in enumerate(model.graph.node) if node.op_type == "Relu")
    for node in model.graph.node:
        node.input[:] = ["dropped" if name == relu.output[0] else name for name in node.input]
    for name, value in (("ratio", np.float32(0.5)), ("training", np.bool_(True))):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    dropout = helper.make_node("Dropout", [relu.output[0], "ratio", "training"], ["dropped"], "dropout")
    model.graph.node.insert(position + 1, dropout)


def normalise_off_by_one(model: onnx.ModelProto) -> None:
    """The middle of 0 to 255 taken for 127."""
    middle = next(tensor for tensor in model.graph.initializer if numpy_helper.to_array(tensor).flat[0] == 128.0)
    values = np.full_like(numpy_helper.to_array(middle), 127.0)
    middle.CopyFrom(numpy_helper.from_array(values, middle.name))


def mutate(path: Path, mutation: object) -> None:
    """Applies one of the functions above to an ONNX file."""
    model = onnx.load(path)
    assert callable(mutation)
    mutation(model)
    onnx.save(model, path)


def shade_off_by_one(ink: Path) -> None:
    """The preprocessing on the server divides by 256 where it should by 255."""
    right = "difference / np.float32(full)"
    source = ink.read_text(encoding="utf-8")
    assert right in source
    ink.write_text(source.replace(right, "difference / np.float32(full * 256 / 255)"), encoding="utf-8")
