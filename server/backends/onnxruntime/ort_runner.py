"""Runs the graph: named arrays in, arrays out, BF16 included."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime as ort
from ort_arrays import Array
from ort_errors import LoadError
from ort_graph import Graph
from ort_tensors import bits_of, value_of_bits

Run = Callable[[Sequence[str], Mapping[str, Array]], Sequence[Array]]


def runner_of(session: ort.InferenceSession, graph: Graph, options: ort.RunOptions | None) -> Run:
    """A function that runs ``session``: names of the outputs wanted, inputs by name -> outputs in that order.

    Raises:
        LoadError: BF16 stands beside string inputs: ONNX Runtime's Python API can feed either, but not both in one run.
    """
    bf16 = frozenset(
        name
        for tensors in (graph.inputs, graph.outputs)
        for name, tensor in tensors.items()
        if tensor.datatype == "BF16"
    )
    if not bf16:
        return lambda wanted, feeds: session.run(wanted, feeds, options)
    texts = [name for name, tensor in graph.inputs.items() if tensor.datatype == "BYTES"]
    if texts:
        raise LoadError(
            f"a graph with BF16 tensors ({', '.join(sorted(bf16))}) and string inputs ({', '.join(texts)}) cannot be "
            "served here; convert one of them inside the graph"
        )
    return lambda wanted, feeds: _run_values(session, bf16, options, wanted, feeds)


def _run_values(
    session: ort.InferenceSession, bf16: frozenset[str], options: Any, wanted: Sequence[str], feeds: Mapping[str, Array]
) -> Sequence[Array]:
    values = {
        name: value_of_bits(array) if name in bf16 else ort.OrtValue.ortvalue_from_numpy(array)
        for name, array in feeds.items()
    }
    outputs = session.run_with_ort_values(wanted, values, options)
    return [bits_of(value) if name in bf16 else value.numpy() for name, value in zip(wanted, outputs, strict=True)]
