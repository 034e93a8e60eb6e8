"""The rungs of a model whose torch module is the user's: it is run again, in a fresh process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from maas_core.errors import MaasError
from maas_core.golden import GOLDEN_FILE, Sample, Tensors, load_golden
from maas_core.manifest import Manifest, RungResult
from maas_export.bundle import ONNX_FILE
from maas_export.bundle_model import BundleModel
from maas_export.ladder import Task, climb, failed, one_line, onnx_rung
from maas_export.own.process import answers_of
from maas_export.own.source import remembered

TORCH = "torch"


def own_rungs(model: BundleModel, manifest: Manifest, bundle: Path, seed: int) -> tuple[Task, list[RungResult]]:
    """The rungs before a server is asked, and what the served ones are held to.

    Where the module is not on this machine any more, or is another by now, the golden samples alone speak for it.
    """
    golden = load_golden(bundle / GOLDEN_FILE)
    spec = model.spec
    task = Task(spec, spec.tolerances, golden, model.record.opset)
    rng = np.random.default_rng(seed)
    fresh = {f"fresh-batch{size}": model.sample_inputs(rng, size) for size in model.batch_sizes}
    try:
        answers = _answers(model, manifest, [*(sample.inputs for sample in golden), *fresh.values()])
    except MaasError as error:
        return task, [failed(TORCH, one_line(error)), onnx_rung(bundle / ONNX_FILE, task)]
    if answers is None:
        return task, [onnx_rung(bundle / ONNX_FILE, task)]
    again: Iterator[Tensors] = iter(answers)
    rung = climb(TORCH, task, lambda _: next(again))
    samples = [Sample(name, inputs, next(again)) for (name, inputs) in fresh.items()] if rung.passed else []
    task = Task(spec, spec.tolerances, [*golden, *samples], model.record.opset)
    return task, [rung, onnx_rung(bundle / ONNX_FILE, task)]


def _answers(model: BundleModel, manifest: Manifest, requests: list[Tensors]) -> list[Tensors] | None:
    """What the module answers.

    Raises:
        MaasError: where it does not, or is another one each time that its file is run.
    """
    source, origin = remembered(model.name), model.record.origin
    if source is None or origin is None or manifest.weights is None or source.sha256() != origin.sha256:
        return None
    outputs = [tensor.name for tensor in model.spec.outputs]
    answers = answers_of(source, manifest.weights.sha256, outputs, requests)
    if answers is None and manifest.verification is None:
        raise MaasError(
            f"{origin.said} gives other weights when it is run again", "load them from a file, or seed what is random"
        )
    return answers
