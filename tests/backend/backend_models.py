"""Small ONNX graphs, and model repositories of them, for the tests of the onnxruntime backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 10

ONNX_OF = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
NUMPY_OF: dict[str, Any] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
    "BYTES": np.object_,
}

Axes = Sequence[str | int | None]


def value(name: str, datatype: str, axes: Axes) -> onnx.ValueInfoProto:
    """A graph's input or output; an axis with a name is dynamic."""
    return helper.make_tensor_value_info(name, ONNX_OF[datatype], axes)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Mapping[str, np.ndarray[Any, Any]] | None = None,
) -> onnx.ModelProto:
    """A model of one graph."""
    constants = [numpy_helper.from_array(array, name) for name, array in (initializers or {}).items()]
    made = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    """One node."""
    return helper.make_node(operator, inputs, outputs, **attributes)


def identity(datatype: str = "FP32", axes: Axes = ("batch", "n")) -> onnx.ModelProto:
    """y = x."""
    return graph([node("Identity", ["x"], ["y"])], [value("x", datatype, axes)], [value("y", datatype, axes)])


def sum_and_difference(axes: Axes = ("batch", "n")) -> onnx.ModelProto:
    """total = a + b, difference = a - b."""
    return graph(
        [node("Add", ["a", "b"], ["total"]), node("Sub", ["a", "b"], ["difference"])],
        [value("a", "FP32", axes), value("b", "FP32", axes)],
        [value("total", "FP32", axes), value("difference", "FP32", axes)],
    )


def lookup() -> onnx.ModelProto:
    """y = table[x], table = [0, 10, 20, 30]; ONNX Runtime fails the whole run for an index out of range."""
    return graph(
        [node("Gather", ["table", "x"], ["y"])],
        [value("x", "INT64", ("batch", 1))],
        [value("y", "FP32", ("batch", 1))],
        {"table": np.array([0, 10, 20, 30], np.float32)},
    )


def accumulator(dims: Axes = (1,), datatype: str = "FP32") -> onnx.ModelProto:
    """sum_out = sum_in + x, y = sum_out: a running sum, kept as implicit state."""
    axes = ("batch", *dims)
    return graph(
        [node("Add", ["sum_in", "x"], ["sum_out"]), node("Identity", ["sum_out"], ["y"])],
        [value("x", datatype, axes), value("sum_in", datatype, axes)],
        [value("y", datatype, axes), value("sum_out", datatype, axes)],
    )


def tensor(name: str, datatype: str, dims: Sequence[int], *more: str) -> str:
    """The fields of an ``input`` or ``output`` entry."""
    kind = "STRING" if datatype == "BYTES" else datatype
    return f'name: "{name}" data_type: TYPE_{kind} dims: {list(dims)} {" ".join(more)}'


def config(*, max_batch_size: int = 0, inputs: Sequence[str] = (), outputs: Sequence[str] = (), more: str = "") -> str:
    """A ``config.pbtxt`` for the onnxruntime backend."""
    lines = ['backend: "onnxruntime"']
    if max_batch_size:
        lines.append(f"max_batch_size: {max_batch_size}")
    lines += [f"input {{ {entry} }}" for entry in inputs]
    lines += [f"output {{ {entry} }}" for entry in outputs]
    if "instance_group" not in more:
        # Left out, Triton starts two instances, hence processes, of each model.
        lines.append("instance_group { count: 1 }")
    return "\n".join([*lines, more, ""])


def write_model(
    repository: Path,
    name: str,
    model: onnx.ModelProto | None,
    config_text: str | None,
    *,
    version: int = 1,
    filename: str = "model.onnx",
    files: Mapping[str, str | bytes] | None = None,
) -> None:
    """Writes one version of a model.

    Args:
        files: further files, by path relative to the model's folder.
    """
    folder = repository / name / str(version)
    folder.mkdir(parents=True, exist_ok=True)
    if model is not None:
        (folder / filename).parent.mkdir(parents=True, exist_ok=True)
        (folder / filename).write_bytes(model.SerializeToString())
    if config_text is not None:
        (repository / name / "config.pbtxt").write_text(config_text)
    for path, content in (files or {}).items():
        target = repository / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


def lstm(torch_lstm: Any) -> onnx.ModelProto:
    """One step of a ``torch.nn.LSTM`` (one layer) with its state as inputs and outputs.

    x [batch, features], h_in and c_in [batch, hidden] -> y [batch, hidden], h_out, c_out. The gates are reordered from
    torch's input, forget, cell, output to ONNX's input, output, forget, cell.
    """
    features, hidden = torch_lstm.input_size, torch_lstm.hidden_size

    def gates(parameter: Any) -> np.ndarray[Any, Any]:
        i, f, g, o = np.split(parameter.detach().numpy(), 4)
        return np.concatenate([i, o, f, g])[np.newaxis]

    bias = np.concatenate([gates(torch_lstm.bias_ih_l0), gates(torch_lstm.bias_hh_l0)], axis=1)
    nodes = [node("Unsqueeze", [name, "zero"], [f"{name}_1"]) for name in ("x", "h_in", "c_in")]
    nodes += [
        node("LSTM", ["x_1", "w", "r", "b", "", "h_in_1", "c_in_1"], ["", "h_1", "c_1"], hidden_size=hidden),
        node("Squeeze", ["h_1", "zero"], ["h_out"]),
        node("Squeeze", ["c_1", "zero"], ["c_out"]),
        node("Identity", ["h_out"], ["y"]),
    ]
    state = ("batch", hidden)
    return graph(
        nodes,
        [value("x", "FP32", ("batch", features)), value("c_in", "FP32", state), value("h_in", "FP32", state)],
        [value("y", "FP32", state), value("c_out", "FP32", state), value("h_out", "FP32", state)],
        {
            "w": gates(torch_lstm.weight_ih_l0),
            "r": gates(torch_lstm.weight_hh_l0),
            "b": bias,
            "zero": np.array([0], np.int64),
        },
    )


def state(name: str, datatype: str, dims: Sequence[int], initial: str = "zero_data: true") -> str:
    """A ``state`` entry named ``NAME_in`` and ``NAME_out``, with an initial value."""
    shape = f"data_type: TYPE_{datatype} dims: {list(dims)}"
    start = f'initial_state {{ name: "{name}" {shape} {initial} }}' if initial else ""
    return f'state {{ input_name: "{name}_in" output_name: "{name}_out" {shape} {start} }}'


def sequence_batching(*entries: str, strategy: str = "direct {}", idle_s: float = 30) -> str:
    """The ``sequence_batching`` section."""
    lines = [strategy, f"max_sequence_idle_microseconds: {int(idle_s * 1e6)}", *entries]
    return "sequence_batching {\n  " + "\n  ".join(lines) + "\n}"


def control(name: str, kind: str, datatype: str = "FP32") -> str:
    """A ``control_input`` entry; START, END and READY are 0 or 1, CORRID is the correlation id itself."""
    if kind == "CORRID":
        how = f"data_type: TYPE_{datatype}"
    else:
        how = {
            "FP32": "fp32_false_true: [0, 1]",
            "INT32": "int32_false_true: [0, 1]",
            "BOOL": "bool_false_true: [false, true]",
        }[datatype]
    return f'control_input {{ name: "{name}" control {{ kind: CONTROL_SEQUENCE_{kind} {how} }} }}'
