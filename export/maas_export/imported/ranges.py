"""Which values a graph's inputs may take, as far as the graph tells."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from maas_core.spec import TensorSpec
from maas_export.bundle_model import Guess, InputRange

_PASS_ON = frozenset({"Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Transpose"})
"""Operators after which the values are still the input's."""
_LOOK_UPS = frozenset({"Gather", "GatherElements"})
_OPTION = "--sample-inputs FILE.npz"


def ranges_of(model: onnx.ModelProto, inputs: Iterable[TensorSpec]) -> tuple[dict[str, InputRange], list[Guess]]:
    """A range for each input, and why."""
    found: dict[str, InputRange] = {}
    guesses = []
    for tensor in inputs:
        found[tensor.name], reason = _range_of(model, tensor)
        guesses.append(Guess(f"values of {tensor.name}", _text(found[tensor.name]), reason, _OPTION))
    return found, guesses


def _range_of(model: onnx.ModelProto, tensor: TensorSpec) -> tuple[InputRange, str]:
    if tensor.datatype == "BYTES":
        return InputRange("words"), "the graph does not say which texts it knows"
    if tensor.datatype == "BOOL":
        return InputRange("booleans"), "it is BOOL"
    if tensor.datatype.startswith("FP"):
        return InputRange("normal"), "the graph does not say how its floats are scaled"
    rows = _table_rows(model, tensor.name)
    if rows:
        return InputRange("integers", 0, rows), f"it looks up rows of a table that has {rows}"
    if tensor.datatype == "UINT8":
        return InputRange("integers", 0, 256), "it is UINT8, as pixels are"
    return InputRange("integers", 0, 2), "the graph does not say how large its integers may be: masks are 0 or 1"


def _table_rows(model: onnx.ModelProto, name: str) -> int:
    """The rows of the smallest table that ``name`` indexes; 0 where it indexes none."""
    sizes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    values, rows = {name}, []
    for node in model.graph.node:
        if node.op_type in _PASS_ON and node.input and node.input[0] in values:
            values.update(node.output)
        if node.op_type in _LOOK_UPS and node.input[1] in values and sizes.get(node.input[0]):
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            rows.append(sizes[node.input[0]][axis])
    return min(rows, default=0)


def _text(among: InputRange) -> str:
    if among.kind == "integers":
        return f"{among.low} to {among.high - 1}"
    return {
        "normal": "random, mean 0 and deviation 1",
        "uniform": "random, 0 to 1",
        "booleans": "true and false",
        "words": "a few words",
    }[among.kind]
