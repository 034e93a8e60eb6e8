"""The ONNX graphs that only the benchmark needs, with seeded random weights: a large encoder and one LSTM step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 10

Weights = dict[str, np.ndarray[Any, Any]]
Axes = Sequence[str | int]


class _Encoder:
    """Builds a post-norm transformer encoder (Devlin et al. 2019, BERT), node by node.

    Args:
        layers: how many blocks.
        hidden: width of the residual stream.
        heads: attention heads; they divide ``hidden``.
        vocabulary: rows of the embedding table.
        length: tokens per row; every row is full, so there is no mask.
    """

    def __init__(self, layers: int, hidden: int, heads: int, vocabulary: int, length: int) -> None:
        self._layers, self._hidden, self._heads, self._vocabulary, self._length = (
            layers,
            hidden,
            heads,
            vocabulary,
            length,
        )
        self._random = np.random.default_rng(7)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: Weights = {}

    def build(self) -> onnx.ModelProto:
        hidden = self._hidden
        self._weights["split_heads"] = np.array([0, 0, self._heads, hidden // self._heads], np.int64)
        self._weights["join_heads"] = np.array([0, 0, hidden], np.int64)
        self._weights["scale"] = np.array((hidden // self._heads) ** -0.5, np.float32)
        self._weights["tokens"] = np.array([1], np.int64)
        words = self._node("Gather", [self._weight("words", self._vocabulary, hidden), "ids"])
        state = self._norm("embeddings", self._node("Add", [words, self._weight("positions", self._length, hidden)]))
        for layer in range(self._layers):
            name = f"layer{layer}"
            state = self._norm(f"{name}.attention", self._node("Add", [state, self._attention(name, state)]))
            state = self._norm(f"{name}.output", self._node("Add", [state, self._feed_forward(name, state)]))
        self._nodes.append(helper.make_node("ReduceMean", [state, "tokens"], ["embedding"], keepdims=0))
        return _model(
            self._nodes,
            [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", self._length])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", hidden])],
            self._weights,
        )

    def _attention(self, name: str, state: str) -> str:
        query, key, value = (
            self._split(self._linear(f"{name}.{part}", state, self._hidden, self._hidden), axes)
            for part, axes in _HEAD_AXES
        )
        scores = self._node("Softmax", [self._node("Mul", [self._node("MatMul", [query, key]), "scale"])], axis=-1)
        mixed = self._node("Transpose", [self._node("MatMul", [scores, value])], perm=[0, 2, 1, 3])
        return self._linear(f"{name}.mix", self._node("Reshape", [mixed, "join_heads"]), self._hidden, self._hidden)

    def _feed_forward(self, name: str, state: str) -> str:
        wide = self._node("Gelu", [self._linear(f"{name}.widen", state, self._hidden, 4 * self._hidden)])
        return self._linear(f"{name}.narrow", wide, 4 * self._hidden, self._hidden)

    def _split(self, state: str, axes: Sequence[int]) -> str:
        return self._node("Transpose", [self._node("Reshape", [state, "split_heads"])], perm=list(axes))

    def _linear(self, name: str, state: str, width_in: int, width_out: int) -> str:
        product = self._node("MatMul", [state, self._weight(f"{name}.weight", width_in, width_out)])
        return self._node("Add", [product, self._weight(f"{name}.bias", width_out)])

    def _norm(self, name: str, state: str) -> str:
        self._weights[f"{name}.gain"] = np.ones(self._hidden, np.float32)
        return self._node(
            "LayerNormalization", [state, f"{name}.gain", self._weight(f"{name}.shift", self._hidden)], axis=-1
        )

    def _weight(self, name: str, *shape: int) -> str:
        self._weights[name] = self._random.standard_normal(shape, np.float32) * np.float32(0.02)
        return name

    def _node(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        output = f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


# The key is transposed once more, since scores = query · keyᵀ.
_HEAD_AXES = (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))


def encoder(
    *, layers: int = 12, hidden: int = 768, heads: int = 12, vocabulary: int = 30_522, length: int = 128
) -> onnx.ModelProto:
    """ids INT64 [batch, length] -> embedding FP32 [batch, hidden], the tokens' mean; by default of BERT-base's size."""
    return _Encoder(layers, hidden, heads, vocabulary, length).build()


def lstm_step(*, features: int, hidden: int) -> onnx.ModelProto:
    """One step: x [batch, features], c_in and h_in [batch, hidden] -> y [batch, hidden], c_out, h_out."""
    random = np.random.default_rng(7)
    bound = hidden**-0.5
    weights: Weights = {
        "w": random.uniform(-bound, bound, (1, 4 * hidden, features)).astype(np.float32),
        "r": random.uniform(-bound, bound, (1, 4 * hidden, hidden)).astype(np.float32),
        "b": random.uniform(-bound, bound, (1, 8 * hidden)).astype(np.float32),
        "zero": np.array([0], np.int64),
    }
    nodes = [helper.make_node("Unsqueeze", [name, "zero"], [f"{name}_1"]) for name in ("x", "h_in", "c_in")]
    nodes += [
        helper.make_node(
            "LSTM", ["x_1", "w", "r", "b", "", "h_in_1", "c_in_1"], ["", "h_1", "c_1"], hidden_size=hidden
        ),
        helper.make_node("Squeeze", ["h_1", "zero"], ["h_out"]),
        helper.make_node("Squeeze", ["c_1", "zero"], ["c_out"]),
        helper.make_node("Identity", ["h_out"], ["y"]),
    ]
    state: Axes = ["batch", hidden]
    return _model(
        nodes,
        [_floats("x", ["batch", features]), _floats("c_in", state), _floats("h_in", state)],
        [_floats("y", state), _floats("c_out", state), _floats("h_out", state)],
        weights,
    )


def _floats(name: str, axes: Axes) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Mapping[str, np.ndarray[Any, Any]],
) -> onnx.ModelProto:
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
