"""Small ONNX files as strangers bring them: good ones, odd ones and hostile ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, tuple[int, Dims]],
    outputs: dict[str, tuple[int, Dims]],
    weights: dict[str, np.ndarray] | None = None,  # type: ignore[type-arg]  # of any shape and type
    *,
    opset: int = 20,
    ir_version: int = 10,
    domain: str = "",
) -> onnx.ModelProto:
    """A graph of ``nodes``; tensors are (ONNX datatype, dims)."""

    def values(tensors: dict[str, tuple[int, Dims]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in tensors.items()]

    initializers = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "graph", values(inputs), values(outputs), initializers)
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    return made


def one_node(operator: str, *, x: Dims = ("batch", 4), y: Dims = ("batch", 4), **more: object) -> onnx.ModelProto:
    """y = operator(x), both floats; ``opset``, ``ir_version`` and ``domain`` as above, all else attributes."""
    own = {name: more.pop(name) for name in ("opset", "ir_version") if name in more}
    node = helper.make_node(operator, ["x"], ["y"], **more)
    tensors = {"x": (TensorProto.FLOAT, x)}, {"y": (TensorProto.FLOAT, y)}
    return model([node], *tensors, domain=str(more.get("domain", "")), **own)  # type: ignore[arg-type]  # two integers


def classifier() -> onnx.ModelProto:
    """Pictures [batch, 3, height, width], sizes in multiples of 8, to 3 logits."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("SpaceToDepth", ["picture"], ["blocks"], blocksize=8),
        helper.make_node("GlobalAveragePool", ["blocks"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("MatMul", ["features", "weight"], ["logits"]),
    ]
    return model(
        nodes,
        {"picture": (TensorProto.FLOAT, ("batch", 3, "height", "width"))},
        {"logits": (TensorProto.FLOAT, ("batch", 3))},
        {"weight": rng.standard_normal((192, 3)).astype(np.float32)},
    )


def embedding() -> onnx.ModelProto:
    """Token numbers below 50 [batch, length] to vectors, summed where the mask is 1."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "along"], ["vector"], keepdims=0),
    ]
    ids = (TensorProto.INT64, ("batch", "length"))
    return model(
        nodes,
        {"ids": ids, "mask": ids},
        {"vector": (TensorProto.FLOAT, ("batch", 8))},
        {
            "table": np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32),
            "last": np.array([2]),
            "along": np.array([1]),
        },
    )


def words() -> onnx.ModelProto:
    """Two texts into one."""
    text = (TensorProto.STRING, ("batch", 2))
    return model([helper.make_node("StringConcat", ["x", "z"], ["y"])], {"x": text, "z": text}, {"y": text})


def memory_bomb() -> onnx.ModelProto:
    """Four terabytes of zeros, from a file of 200 bytes."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["most"], keepdims=0),
        helper.make_node("Add", ["x", "most"], ["y"]),
    ]
    x = (TensorProto.FLOAT, ("batch", 4))
    return model(nodes, {"x": x}, {"y": x}, {"size": np.array([2**40])})


def circle() -> onnx.ModelProto:
    """Two nodes that wait for each other."""
    x = (TensorProto.FLOAT, ("batch", 4))
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    return model([*nodes, helper.make_node("Relu", ["b"], ["y"])], {"x": x}, {"y": x})


def output_of_another_size() -> onnx.ModelProto:
    """A graph that says [2, 7] of an output whose second axis counts what is not zero."""
    nodes = [helper.make_node("NonZero", ["x"], ["y"])]
    return model(nodes, {"x": (TensorProto.FLOAT, ("n", 4))}, {"y": (TensorProto.INT64, (2, 7))})


def output_without_sizes() -> onnx.ModelProto:
    """A graph that says less of its output than ONNX Runtime finds out, as exporters of recurrent networks do."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["hidden"]), helper.make_node("Reshape", ["hidden", "to"], ["y"])]
    tensors = {"x": (TensorProto.FLOAT, ("batch", 4))}, {"y": (TensorProto.FLOAT, ("batch", "n", "m"))}
    weights = {"w": np.ones((4, 6), np.float32), "to": np.array([-1, 2, 3])}
    return model(nodes, *tensors, weights)


def save(folder: Path, made: onnx.ModelProto, change: Callable[[bytes], bytes] = bytes) -> Path:
    """Writes a model that need not be valid."""
    path = folder / "given.onnx"
    path.write_bytes(change(made.SerializeToString()))
    return path
