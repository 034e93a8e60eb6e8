"""What a person may say about the model that is imported; all else is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maas_export.lint.targets import Release


@dataclass(frozen=True)
class Wishes:
    """The options of ``maas import``; ``None`` leaves the choice to the importer.

    Attributes:
        target: the Triton that shall serve the model.
        convert_opset: whether an opset or IR that is too new may be converted.
        is_batched: whether the first axis counts samples.
        max_batch_size: the largest batch.
        labels: a file with one class name a line.
        sizes: the sizes of dynamic axes, by name; a single one fixes the axis.
        sample_inputs: an ``.npz`` with real inputs by name, the first axis counting samples.
        tolerance: absolute and relative, of FP32 outputs.
        instances: executions at the same time.
        threads: of one execution.
        has_independent_rung: whether ``onnx.reference`` shall judge too, where it can.
    """

    target: Release
    convert_opset: bool = False
    is_batched: bool | None = None
    max_batch_size: int | None = None
    labels: Path | None = None
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sample_inputs: Path | None = None
    tolerance: float | None = None
    instances: int = 1
    threads: int = 1
    has_independent_rung: bool = True
