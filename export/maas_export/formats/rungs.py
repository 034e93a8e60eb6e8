"""The rungs of the ladder that only some formats have."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from maas_core.engines import check_engine, this_host
from maas_core.errors import MaasError, NotHeld
from maas_core.golden import GOLDEN_FILE, Sample, Tensors, load_golden
from maas_core.manifest import Manifest, RungResult
from maas_export import weights
from maas_export.bundle import ONNX_FILE
from maas_export.catalogue import TorchModel
from maas_export.formats.engine import PLAN_FILE
from maas_export.formats.engine_run import engine_answer
from maas_export.formats.int8 import check_drop, data_of, measured
from maas_export.formats.session_module import open_session
from maas_export.ladder import Answer, RungError, Task, climb, failed, one_line, onnx_rung, session_answer


def int8_rungs(
    model: TorchModel, manifest: Manifest, bundle: Path, seed: int, data: Path | None
) -> tuple[Task, list[RungResult]]:
    """A quantized graph is held against its own golden answers, and against torch by the task's measure.

    The fresh samples carry the graph's answers in this process, to which a server must come equally close. Where the
    torch weights are not on this machine, the golden samples alone speak for them.
    """
    graph = bundle / ONNX_FILE
    golden = load_golden(bundle / GOLDEN_FILE)
    task = Task(model.spec, model.spec.tolerances, golden)
    rungs = [onnx_rung(graph, task)]
    stored = weights.by_digest(model.name, manifest.weights.sha256) if manifest.weights else None
    if stored is not None:
        rungs.append(measure_rung(model, manifest, graph, stored.record, data))
    if not rungs[0].passed:
        return task, rungs
    answer = session_answer(open_session(graph), model.spec.sequence)
    rng = np.random.default_rng(seed)
    fresh = []
    for size in model.batch_sizes:
        inputs = model.sample_inputs(rng, size)
        fresh.append(Sample(f"fresh-batch{size}", inputs, answer(inputs)))
    return Task(model.spec, model.spec.tolerances, [*golden, *fresh]), rungs


def measure_rung(
    model: TorchModel, manifest: Manifest, graph: Path, record: weights.TrainingRecord, data: Path | None
) -> RungResult:
    """The task's measure of the quantized graph on the held-out part, beside that of the graph in 32-bit numbers."""
    recorded = manifest.quantization
    if recorded is None:
        return failed("measure", "the manifest does not say what the measure was in 32-bit numbers")
    try:
        found = measured(model, graph, data_of(model, record, data))
        check_drop(model, recorded.fp32, found)
    except MaasError as error:
        return failed("measure", error.message)
    except Exception as error:  # noqa: BLE001  # onnxruntime raises many types for a graph that does not run
        return failed("measure", one_line(error))
    detail = f"{found.measure} {found.value:.4f}, in 32-bit numbers {recorded.fp32:.4f}"
    return RungResult(rung="measure", passed=True, samples=found.samples, outputs=(), detail=detail)


def engine_rung(manifest: Manifest, bundle: Path, task: Task) -> RungResult:
    """The engine on this machine's GPU, in this process."""
    try:
        check_engine(manifest, this_host())
        answer = engine_answer(importlib.import_module("tensorrt"), bundle / PLAN_FILE, task.spec)
    except (NotHeld, ImportError) as error:
        return failed("tensorrt", one_line(error))
    return climb("tensorrt", task, _told(answer))


def _told(answer: Answer) -> Answer:
    """A request that the engine refuses is a rung that did not hold, not the end of the ladder."""

    def told(inputs: Tensors) -> Tensors:
        try:
            return answer(inputs)
        except MaasError as error:
            raise RungError(error.message) from error

    return told
