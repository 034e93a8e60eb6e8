"""Writing into a graph what its inputs and outputs really are, where it says something else or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import onnx

from maas_core.golden import Sample
from maas_core.spec import Dim
from maas_export.bundle_model import Guess
from maas_export.imported.signature import BATCH_AXIS, GraphTensor, Signature


def with_seen_outputs(signature: Signature, samples: Sequence[Sample]) -> tuple[Signature, list[Guess]]:
    """The signature with the outputs' dims as they came, where the graph's are wrong or missing."""
    outputs, guesses = [], []
    for tensor in signature.outputs:
        shapes = [sample.outputs[tensor.name].shape for sample in samples]
        if all(_fits(tensor.dims, shape) for shape in shapes):
            outputs.append(tensor)
            continue
        seen = _seen(tensor, shapes, is_batched=signature.is_batched)
        outputs.append(seen)
        reason = f"the graph says {list(tensor.dims)}, the answers have {', '.join(map(str, map(list, shapes)))}"
        guesses.append(Guess(f"shape of {tensor.name}", str(list(seen.dims)), reason))
    return replace(signature, outputs=tuple(outputs)), guesses


def _fits(dims: Sequence[Dim], shape: Sequence[int]) -> bool:
    return len(dims) == len(shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(dims, shape, strict=True)
    )


def _seen(tensor: GraphTensor, shapes: Sequence[Sequence[int]], *, is_batched: bool) -> GraphTensor:
    dims: list[Dim] = []
    for position, sizes in enumerate(zip(*shapes, strict=True)):
        if position == 0 and is_batched:
            dims.append(BATCH_AXIS)
        else:
            dims.append(sizes[0] if len(set(sizes)) == 1 else f"{tensor.name}_{position}")
    return replace(tensor, dims=tuple(dims))


def write_shapes(model: onnx.ModelProto, signature: Signature) -> bool:
    """Makes the graph say what ``signature`` says; whether anything had to be changed."""
    return any([*_write(model.graph.input, signature.inputs), *_write(model.graph.output, signature.outputs)])


def _write(values: Any, tensors: Iterable[GraphTensor]) -> list[bool]:
    by_name = {tensor.name: tensor for tensor in tensors}
    return [_write_one(value.type.tensor_type, by_name[value.name].dims) for value in values if value.name in by_name]


def _write_one(kind: Any, dims: Sequence[Dim]) -> bool:
    said = [entry.dim_value if entry.HasField("dim_value") else None for entry in kind.shape.dim]
    if said == [None if isinstance(dim, str) else dim for dim in dims]:
        return False
    kind.shape.ClearField("dim")
    for dim in dims:
        kind.shape.dim.add(**({"dim_param": dim} if isinstance(dim, str) else {"dim_value": dim}))
    return True
