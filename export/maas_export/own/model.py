"""What a user writes down about a torch module; everything else is derived, and said with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class OwnModel:
    """A torch module that is to be served.

    ``module``, ``inputs`` and ``axes`` are enough; each further field says otherwise than what is derived.

    Attributes:
        module: returns a tensor, or a tuple, dictionary or dataclass of tensors.
        inputs: one example, by name; a tuple takes the names of ``forward``'s parameters.
        axes: ``{input: {axis: name}}`` for every axis that may have another size; the same name means the same size.
            ``None`` stands for ``{0: "batch"}`` of every input.
        name: what the model is called; else the file's name.
        outputs: their names; else dictionary keys, attribute names, or ``output_0``, ``output_1``…
        labels: class names, for the output whose last axis is as long.
        max_batch_size: the largest batch; 0 where the first axis does not count samples.
        sizes: which sizes of a dynamic axis verification tries, by the axis' name.
        ranges: least and largest value of made-up requests, by input; else they are drawn like the example.
        tolerance: absolute and relative, of FP32 outputs.
        p99_ms: the service-level objective of one request, milliseconds.
        instances: executions at the same time.
        threads: of one execution.
        task: what the model is for, a few words.
        summary: what it does, one sentence.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor] | Sequence[Tensor] | Tensor
    axes: Mapping[str, Mapping[int, str]] | None = None
    name: str = ""
    outputs: Sequence[str] = ()
    labels: Sequence[str] = ()
    max_batch_size: int | None = None
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    tolerance: float | None = None
    p99_ms: float = 100.0
    instances: int = 1
    threads: int = 1
    task: str = "own model"
    summary: str = ""
