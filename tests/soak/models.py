"""The models of the soak, and what they must answer: numpy says it, not the server."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, Any]

TINY_WIDTH = 4
LARGE_WIDTH = 768
LARGE_LAYERS = 8
_OPSET, _IR_VERSION = 20, 10
_INSTANCES = {"tiny": 2, "large": 2, "running_sum": 1}
_CONFIG = """
backend: "onnxruntime"
max_batch_size: 32
input [{{ name: "x" data_type: TYPE_FP32 dims: [ {width} ] }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [ {width} ] }}]
instance_group [{{ count: {instances} }}]
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
{batching}
"""
_SEQUENCE_BATCHING = """
sequence_batching {
  oldest { max_candidate_sequences: 64 }
  max_sequence_idle_microseconds: 30000000
  state {
    input_name: "sum_in" output_name: "sum_out" data_type: TYPE_FP32 dims: [ 1 ]
    initial_state { name: "zero" data_type: TYPE_FP32 dims: [ 1 ] zero_data: true }
  }
}
"""


def tiny_answer(x: Array) -> Array:
    """y = 3 x + 1."""
    return np.asarray(3 * x + 1, np.float32)


def large_answer(x: Array) -> Array:
    """A stack of orthogonal layers, so that values keep their size: x [batch, 768] -> y [batch, 768]."""
    for weight in _large_weights():
        x = np.maximum(x @ weight, 0) - np.float32(0.1)
    return x


def write_models(repository: Path) -> None:
    """Writes version 1 of ``tiny``, ``large`` and ``running_sum``."""
    _write(repository, "tiny", TINY_WIDTH, _tiny(), "dynamic_batching {}")
    _write(repository, "large", LARGE_WIDTH, _large(), "dynamic_batching {}")
    _write(repository, "running_sum", 1, _running_sum(), _SEQUENCE_BATCHING)


@functools.cache
def _large_weights() -> list[Array]:
    generator = np.random.default_rng(7)
    return [
        np.linalg.qr(generator.standard_normal((LARGE_WIDTH, LARGE_WIDTH)))[0].astype(np.float32)
        for _ in range(LARGE_LAYERS)
    ]


def _write(repository: Path, name: str, width: int, graph: Any, batching: str) -> None:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    config = _CONFIG.format(width=width, instances=_INSTANCES[name], batching=batching)
    (folder.parent / "config.pbtxt").write_text(config)


def _value(name: str, width: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])


def _tiny() -> Any:
    constants = [numpy_helper.from_array(np.float32(number), name) for name, number in (("three", 3), ("one", 1))]
    nodes = [helper.make_node("Mul", ["x", "three"], ["m"]), helper.make_node("Add", ["m", "one"], ["y"])]
    return helper.make_graph(nodes, "tiny", [_value("x", TINY_WIDTH)], [_value("y", TINY_WIDTH)], constants)


def _large() -> Any:
    constants = [numpy_helper.from_array(np.float32(0.1), "tenth")]
    nodes, last = [], "x"
    for layer, weight in enumerate(_large_weights()):
        constants.append(numpy_helper.from_array(weight, f"w{layer}"))
        out = "y" if layer == LARGE_LAYERS - 1 else f"h{layer}"
        nodes += [
            helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]),
            helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]),
            helper.make_node("Sub", [f"r{layer}", "tenth"], [out]),
        ]
        last = out
    return helper.make_graph(nodes, "large", [_value("x", LARGE_WIDTH)], [_value("y", LARGE_WIDTH)], constants)


def _running_sum() -> Any:
    nodes = [
        helper.make_node("Add", ["sum_in", "x"], ["sum_out"]),
        helper.make_node("Identity", ["sum_out"], ["y"]),
    ]
    inputs, outputs = [_value("x", 1), _value("sum_in", 1)], [_value("y", 1), _value("sum_out", 1)]
    return helper.make_graph(nodes, "running_sum", inputs, outputs)
