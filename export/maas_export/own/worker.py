"""Runs in a process of its own, where a user's code can do no harm: it may print, exit, or change what it likes.

``python -m maas_export.own.worker JOB`` reads a job from the JSON file ``JOB`` and writes ``result.json`` beside it.
Standard output belongs to the parent's JSON, so that whatever is printed here goes to standard error.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from maas_core.errors import MaasError, WrongUse
from maas_core.golden import GOLDEN_FILE, Sample, load_golden, save_golden
from maas_export.bundle import ONNX_FILE, recorded_versions
from maas_export.bundle_model import BundleModel, BundleRecord, Origin, write_record
from maas_export.catalogue import all_models
from maas_export.graph_signature import OPSET
from maas_export.own.adapter import Adapter, TorchRun, named_inputs
from maas_export.own.graph import write_onnx
from maas_export.own.plan import Plan, check_finite, plan_of
from maas_export.own.process import ANSWERS_FILE, REQUESTS_FILE, RESULT_FILE, STAGE_FILE
from maas_export.own.source import Source

_SEED = 0


class _Job:
    def __init__(self, path: Path) -> None:
        self.asked: dict[str, Any] = json.loads(path.read_bytes())
        self.folder = path.parent
        self.source = Source(**self.asked["source"])

    def stage(self, name: str) -> None:
        """Notes what is being done, for the parent: should this process die, nobody else could say."""
        (self.folder / STAGE_FILE).write_text(name)

    def answer(self, result: dict[str, Any]) -> None:
        (self.folder / RESULT_FILE).write_text(json.dumps(result))


def _export(job: _Job) -> dict[str, Any]:
    """Plan, graph and golden answers of a module; nothing where a bundle with the same key is there already."""
    job.stage("load")
    sha256 = job.source.sha256()
    own, guard = job.source.load()
    if job.asked["name"]:
        own = replace(own, name=job.asked["name"])
    job.stage("try")
    plan = plan_of(own, job.asked["default_name"], job.source.said, guard)
    if plan.spec.name in all_models():
        raise WrongUse(f"{plan.spec.name!r} is a model of the catalogue", "choose another --name")
    weights = weights_digest(plan.adapter)
    record = _record(plan, Origin(job.source.said, sha256))
    key = _key(record, weights, job.asked["seed"])
    result = {"name": plan.spec.name, "key": key, "weights": weights, "versions": recorded_versions()}
    if key == job.asked["known_keys"].get(plan.spec.name):
        return {**result, "guesses": []}
    job.stage("export")
    write_onnx(plan, job.folder / ONNX_FILE)
    job.stage("answer")
    save_golden(job.folder / GOLDEN_FILE, _golden(plan, record, job.asked["seed"]))
    write_record(job.folder, record)
    return result


def _answer(job: _Job) -> dict[str, Any]:
    """Fresh answers of the module; none where its weights are not those that were exported."""
    job.stage("load")
    own, guard = job.source.load()
    own.module.cpu()
    names = list(named_inputs(own.module, own.inputs))
    adapter = Adapter(own.module, names).eval()
    weights = weights_digest(adapter)
    if weights != job.asked["weights"]:
        return {"weights": weights}
    job.stage("answer")
    run = TorchRun(adapter, names, job.asked["outputs"], guard).run
    requests = load_golden(job.folder / REQUESTS_FILE)
    save_golden(job.folder / ANSWERS_FILE, [Sample(each.name, {}, run(each.inputs)) for each in requests])
    return {"weights": weights}


def _record(plan: Plan, origin: Origin) -> BundleRecord:
    return BundleRecord(
        spec=plan.spec,
        opset=OPSET,
        ranges=plan.ranges,
        axis_sizes=plan.sizes,
        from_samples=False,
        has_independent_rung=False,
        guesses=plan.guesses,
        origin=origin,
    )


def _golden(plan: Plan, record: BundleRecord, seed: int) -> list[Sample]:
    model = BundleModel(record, [])
    rng = np.random.default_rng(seed)
    samples = []
    for size in model.batch_sizes:
        inputs = model.sample_inputs(rng, size)
        outputs = plan.run.run(inputs)
        check_finite(outputs, "a made-up request")
        samples.append(Sample(f"golden-batch{size}", inputs, outputs))
    return samples


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over all weights and buffers: their names, datatypes, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            continue
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}|{value.dtype}|{list(value.shape)}|".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()


def _key(record: BundleRecord, weights: str, seed: int) -> str:
    parts = {"record": repr(record), "weights": weights, "versions": recorded_versions(), "seed": seed}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


_ACTIONS = {"export": _export, "answer": _answer}


def main(path: Path) -> None:
    """Does the job of that file."""
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    # A module that is built with random weights shall be the same one when it is built again.
    random.seed(_SEED)
    np.random.seed(_SEED)  # the user's code may draw from the old global generator
    torch.manual_seed(_SEED)
    job = _Job(path)
    try:
        job.answer(_ACTIONS[job.asked["action"]](job))
    except MaasError as error:
        job.answer({"error": error.message, "exit_code": int(error.exit_code)})


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
