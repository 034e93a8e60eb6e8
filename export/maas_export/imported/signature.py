"""Inputs, outputs and the batch axis, from what ONNX Runtime sees in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from maas_core.dtypes import TRITON_OF_ONNX
from maas_core.errors import WrongUse
from maas_core.spec import Dim
from maas_export.bundle_model import Guess
from maas_export.imported.plan import Wishes
from maas_export.imported.runs import PlainSession
from maas_export.imported.source import Source

DEFAULT_MAX_BATCH_SIZE = 8
BATCH_AXIS = "batch"


@dataclass(frozen=True)
class GraphTensor:
    """One input or output of the graph, its batch axis included.

    Attributes:
        dims: a dynamic axis has a name, the graph's or one made of the tensor's name and the position.
    """

    name: str
    datatype: str
    dims: tuple[Dim, ...]


@dataclass(frozen=True)
class Signature:
    """What a graph takes and gives.

    Attributes:
        max_batch_size: 0 where no axis counts samples.
    """

    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]
    max_batch_size: int

    @property
    def is_batched(self) -> bool:
        """Whether the first axis of every tensor counts samples."""
        return self.max_batch_size > 0

    @property
    def dynamic_axes(self) -> tuple[str, ...]:
        """The names of the inputs' dynamic axes but the batch's, each once."""
        own = (tensor.dims[int(self.is_batched) :] for tensor in self.inputs)
        return tuple(dict.fromkeys(dim for dims in own for dim in dims if isinstance(dim, str)))

    def with_sizes(self, fixed: Mapping[str, int]) -> Signature:
        """The same with some dynamic axes fixed."""

        def settle(tensor: GraphTensor) -> GraphTensor:
            return replace(
                tensor, dims=tuple(fixed.get(dim, dim) if isinstance(dim, str) else dim for dim in tensor.dims)
            )

        return replace(self, inputs=tuple(map(settle, self.inputs)), outputs=tuple(map(settle, self.outputs)))


def signature_of(source: Source, session: PlainSession, wishes: Wishes) -> tuple[Signature, list[Guess]]:
    """The signature, and what was guessed of it.

    Raises:
        WrongUse: where a tensor cannot be served, or what is wished for contradicts the graph.
    """
    types = {
        value.name: TRITON_OF_ONNX[value.type.tensor_type.elem_type]
        for value in (*source.model.graph.input, *source.model.graph.output)
    }
    inputs = tuple(_tensor(value, types) for value in session.inputs)
    outputs = tuple(_tensor(value, types) for value in session.outputs)
    for side, tensors in (("input", inputs), ("output", outputs)):
        for tensor in tensors:
            if not tensor.dims:
                raise WrongUse(f"{side} {tensor.name!r} is a scalar", "export it with an axis of size 1")
    obstacle = _obstacle((*inputs, *outputs))
    if wishes.is_batched and obstacle:
        raise WrongUse(f"the model cannot be batched: {obstacle}", "export it with a dynamic first axis, or --no-batch")
    if wishes.is_batched is False or obstacle:
        reason = "you said so" if wishes.is_batched is False else obstacle
        return Signature(inputs, outputs, 0), [Guess("batch axis", "none: max_batch_size 0", reason, "--batch")]
    size = wishes.max_batch_size or DEFAULT_MAX_BATCH_SIZE
    guesses = [
        Guess("batch axis", "the first axis of every tensor", "it is dynamic in all of them", "--no-batch"),
        _size_guess(size, wishes),
    ]
    return Signature(inputs, outputs, size), guesses


def _size_guess(size: int, wishes: Wishes) -> Guess:
    reason = "you said so" if wishes.max_batch_size else "it is a start; `maas tune` measures what is best on a machine"
    return Guess("max_batch_size", str(size), reason, "--max-batch-size N")


def _tensor(value: Any, types: Mapping[str, str]) -> GraphTensor:
    dims = tuple(
        dim if isinstance(dim, int) and dim >= 0 else str(dim or f"{value.name}_{position}")
        for position, dim in enumerate(value.shape)
    )
    return GraphTensor(value.name, types[value.name], dims)


def _obstacle(tensors: tuple[GraphTensor, ...]) -> str:
    """Why the first axis is no batch axis; empty where it may be one."""
    for tensor in tensors:
        if not isinstance(tensor.dims[0], str):
            return f"the first axis of {tensor.name!r} is fixed at {tensor.dims[0]}"
        if len(tensor.dims) == 1:
            return f"{tensor.name!r} has no axis beside the first, which Triton cannot write down for batches"
    names = {str(tensor.dims[0]) for tensor in tensors}
    named = {name for name in names if not any(name == f"{tensor.name}_0" for tensor in tensors)}
    if len(named) > 1:
        return f"the first axes have different names: {', '.join(sorted(named))}"
    return ""
