"""The rungs of a model that has no torch module: it is held against what its graph answers without optimizations."""

from __future__ import annotations

from pathlib import Path

from maas_core.errors import WrongUse
from maas_core.golden import GOLDEN_FILE, Tensors, load_golden
from maas_core.manifest import RungResult
from maas_export.bundle import ONNX_FILE, samples_of
from maas_export.bundle_model import BundleModel
from maas_export.imported.runs import PlainSession, RunFailed
from maas_export.independent import independent_reference
from maas_export.ladder import Answer, RungError, Task, climb, failed, one_line, onnx_rung

PLAIN = "plain"
INDEPENDENT = "reference"


def imported_rungs(model: BundleModel, bundle: Path, seed: int) -> tuple[Task, list[RungResult]]:
    """The rungs before a server is asked, and what the served ones are held to.

    The golden answers are those of the file that was imported; the graph in the bundle must still give them.
    """
    path = bundle / ONNX_FILE
    golden = load_golden(bundle / GOLDEN_FILE)
    task = Task(model.spec, model.spec.tolerances, golden, model.record.opset)
    try:
        session = PlainSession(path.read_bytes())
    except (WrongUse, OSError) as error:
        return task, [failed(PLAIN, one_line(error))]
    rungs = [climb(PLAIN, task, _plain_answer(session))]
    if model.record.has_independent_rung:
        first = Task(model.spec, model.spec.tolerances, golden[:1], model.record.opset)
        rungs.append(climb(INDEPENDENT, first, _independent_answer(path)))
    if rungs[0].passed:
        fresh = samples_of(model, session.run, seed, "fresh")
        task = Task(model.spec, model.spec.tolerances, [*golden, *fresh], model.record.opset)
    return task, [*rungs, onnx_rung(path, task)]


def _plain_answer(session: PlainSession) -> Answer:
    def answer(inputs: Tensors) -> Tensors:
        try:
            return session.run(inputs)
        except RunFailed as error:
            raise RungError(str(error)) from error

    return answer


def _independent_answer(path: Path) -> Answer:
    def answer(inputs: Tensors) -> Tensors:
        try:
            return independent_reference(path.read_bytes())(inputs)
        except Exception as error:  # its operators fail in many ways
            raise RungError(one_line(error)) from error

    return answer
