"""The numerics ladder: the same requests, one stage further at each rung, held against the reference.

torch -> ONNX (onnxruntime) -> served over HTTP -> served over gRPC; for a Python model or an ensemble the reference is
its pure functions. Every rung is climbed, so that one table shows all differences; the first that diverges is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from maas_client import AuthenticationError, Client, MaasClientError
from maas_client._cli.options import GIVE_A_KEY
from maas_core.compare import compare, worst
from maas_core.errors import WrongUse
from maas_core.golden import Sample, Tensors
from maas_core.manifest import OutputResult, RungResult
from maas_core.spec import ModelSpec, SequenceBatching, Tolerance
from maas_export.catalogue import CatalogueModel
from maas_export.graph_signature import OPSET, graph_problems
from maas_export.onnx_text import as_bytes, as_text
from maas_export.sequences import run_sequence, step_count
from maas_export.served_calls import ask

Answer = Callable[[Tensors], Tensors]


class RungError(Exception):
    """A stage gave no answer at all; the message is its own reason."""


@dataclass(frozen=True)
class Task:
    """What every rung is held to."""

    spec: ModelSpec
    tolerances: Mapping[str, Tolerance]
    samples: Sequence[Sample]
    opset: int = OPSET


def climb(name: str, task: Task, answer: Answer) -> RungResult:
    """Asks one stage every sample and holds its answers against the wanted ones."""
    results: dict[str, OutputResult] = {}
    agreements: list[bool] = []
    for sample in task.samples:
        try:
            got = answer(sample.inputs)
        except RungError as error:
            return RungResult(
                rung=name, passed=False, samples=len(task.samples), outputs=(), detail=f"{sample.name}: {error}"
            )
        for result in compare(sample.outputs, got, task.tolerances):
            named = result.model_copy(update={"detail": f"{sample.name}: {result.detail}"}) if result.detail else result
            results[result.output] = worst(results[result.output], named) if result.output in results else named
        agreements += _top1_agreements(task.spec, sample.outputs, got)
    agreement = float(np.mean(agreements)) if agreements else None
    outputs = tuple(results.values())
    passed = all(result.passed for result in outputs) and agreement in (None, 1.0)
    return RungResult(rung=name, passed=passed, samples=len(task.samples), outputs=outputs, agreement=agreement)


def failed(name: str, detail: str) -> RungResult:
    """A rung that could not be climbed."""
    return RungResult(rung=name, passed=False, samples=0, outputs=(), detail=detail)


def _top1_agreements(spec: ModelSpec, wanted: Tensors, got: Tensors) -> Iterable[bool]:
    """The task's own measure for a classifier: the same likeliest class, sample by sample."""
    for output in spec.outputs:
        if not output.labels or output.name not in got or got[output.name].shape != wanted[output.name].shape:
            continue
        yield from (wanted[output.name].argmax(-1) == got[output.name].argmax(-1)).reshape(-1).tolist()


def onnx_rung(path: Path, task: Task) -> RungResult:
    """The ONNX file in onnxruntime, in this process: its signature first, then its answers."""
    try:
        problems = graph_problems(onnx.load(path, load_external_data=False), task.spec, task.opset)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001  # onnx and onnxruntime raise many types for a file that is no model
        return failed("onnx", one_line(error))
    result = climb("onnx", task, session_answer(session, task.spec.sequence))
    if problems:
        return result.model_copy(
            update={"passed": False, "detail": "; ".join([*problems, *([result.detail] if result.detail else [])])}
        )
    return result


def session_answer(session: onnxruntime.InferenceSession, sequence: SequenceBatching | None) -> Answer:
    """A session as a function of arrays; a stateful model's runs a sequence from its first step to its last."""
    names = [output.name for output in session.get_outputs()]
    wanted = {value.name for value in session.get_inputs()}

    def answer(inputs: Tensors) -> Tensors:
        try:
            values = session.run(names, {name: as_text(value) for name, value in inputs.items() if name in wanted})
        except Exception as error:  # onnxruntime's own errors share no base class
            raise RungError(one_line(error)) from error
        return {name: as_bytes(np.asarray(value)) for name, value in zip(names, values, strict=True)}

    if sequence is None:
        return answer
    return lambda inputs: run_sequence(answer, inputs, sequence, company=step_count(inputs) - 1)


def served_rung(name: str, url: str, model: CatalogueModel, task: Task, api_key: str | None = None) -> RungResult:
    """A running server, through the client that callers use."""
    with Client(url, api_key=api_key) as client:

        def answer(inputs: Tensors) -> Tensors:
            try:
                return ask(client, model, inputs)
            except AuthenticationError as error:
                raise WrongUse(str(error), GIVE_A_KEY) from error
            except MaasClientError as error:
                raise RungError(one_line(error)) from error

        return climb(name, task, answer)


def one_line(error: Exception) -> str:
    """What an error says, without its line breaks, shortened."""
    return " ".join(str(error).split())[:400]
