"""A second judge for models without a torch module: the ONNX project's own evaluator in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from maas_core.golden import Tensors
from maas_export.catalogue import Reference

_MOST_NODES = 500
_MOST_WEIGHT_BYTES = 16 * 2**20
"""It multiplies in plain numpy and convolves in Python: larger graphs would take minutes."""


def independent_reference(content: bytes) -> Reference:
    """The graph as ``onnx.reference`` runs it."""
    model = onnx.load_model_from_string(content)
    evaluator = ReferenceEvaluator(model)
    names = [output.name for output in model.graph.output]

    def reference(inputs: Tensors) -> Tensors:
        values: Any = evaluator.run(names, dict(inputs))
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}

    return reference


def obstacle_to_independence(content: bytes, inputs: Tensors) -> str | None:
    """Why ``onnx.reference`` cannot judge this graph; ``None`` where it answers the request, rightly or not."""
    model = onnx.load_model_from_string(content)
    if len(model.graph.node) > _MOST_NODES or len(content) > _MOST_WEIGHT_BYTES:
        return "the graph is too large for it"
    if any(value.dtype == np.object_ for value in inputs.values()):
        return "texts are not compared with it"
    try:
        independent_reference(content)(inputs)
    except Exception as error:  # noqa: BLE001  # an operator that it lacks fails in many ways
        return f"it does not run the graph ({type(error).__name__})"
    return None
