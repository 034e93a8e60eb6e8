"""Measuring every published model of the catalogue: what it is worth, how large it is, how long a call takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from maas_client import Client
from maas_core.errors import NotHeld
from maas_core.golden import GOLDEN_FILE, load_golden
from maas_core.machine import machine_in_words
from maas_core.manifest import read_manifest
from maas_core.repository import versions_of
from maas_core.serving import serve
from maas_export import weights
from maas_export.catalogue import CatalogueModel, PretrainedModel, TorchModel, all_models, requirements
from maas_export.evaluate import evaluate_served
from maas_export.facts import Facts, save_facts
from maas_export.served_calls import ask
from maas_export.served_evaluation import Judged

_WARMUP_CALLS = 20
_CALLS = 300
_LONGEST_S = 10.0
_CASES = 400


def measure_catalogue(repository: Path, say: Callable[[str], None]) -> None:
    """Serves all models of ``repository`` that have a card and writes the facts.

    Raises:
        NotHeld: where one is not published, or does not load.
    """
    carded = {name: model for name, model in all_models().items() if model.card is not None}
    missing = [name for name in carded if not versions_of(repository / name)]
    if missing:
        raise NotHeld(f"{', '.join(missing)} not published in {repository}", "run `make models` first")
    found: dict[str, Facts] = {}
    with serve(repository, view="measure", models=list(carded)) as served:
        if served.failed:
            raise NotHeld(f"the server could not load {served.failed}", "run `maas explain MODEL`")
        with Client(served.grpc, timeout_s=60) as client:
            for name, model in carded.items():
                found[name] = _measured(model, repository, served.grpc, client)
                say(f"{name}: {found[name].measure} {found[name].value}, p50 {found[name].p50_ms:.2f} ms")
    save_facts(machine_in_words(), datetime.now(UTC).date().isoformat(), found)


def _measured(model: CatalogueModel, repository: Path, url: str, client: Client) -> Facts:
    version = versions_of(repository / model.name)[-1].path
    size_bytes = sum(_size_of(repository, name) for name in (model.name, *requirements(model)))
    p50_ms, p99_ms = _latency_ms(model, client, version)
    manifest = read_manifest(version)
    stored = weights.by_digest(model.name, manifest.weights.sha256) if manifest.weights else None
    if stored is not None and isinstance(model, TorchModel):
        record = stored.record
        return Facts(
            **_told(record.evaluation),
            seeds=max(len(record.over_seeds), 1),
            seeds_mean=mean(record.over_seeds.values()) if record.over_seeds else None,
            parameters=sum(parameter.numel() for parameter in model.build().parameters()),
            training_s=None if isinstance(model, PretrainedModel) else record.duration_s,
            size_bytes=size_bytes,
            p50_ms=p50_ms,
            p99_ms=p99_ms,
        )
    told: dict[str, Any] = {}
    if isinstance(model, Judged):
        told = _told(evaluate_served(model.name, url=url, data=None, seed=None, limit=_CASES).evaluation.as_dict())
    return Facts(**told, size_bytes=size_bytes, p50_ms=p50_ms, p99_ms=p99_ms)


def _told(evaluation: dict[str, Any]) -> dict[str, Any]:
    names = ("measure", "value", "higher_is_better", "figures", "baselines", "samples")
    return {name: evaluation[name] for name in names}


def _size_of(repository: Path, name: str) -> int:
    folder = versions_of(repository / name)[-1].path
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _latency_ms(model: CatalogueModel, client: Client, version: Path) -> tuple[float, float]:
    """p50 and p99 of one caller's calls with the smallest golden sample."""
    inputs = load_golden(version / GOLDEN_FILE)[0].inputs
    for _ in range(_WARMUP_CALLS):
        ask(client, model, inputs)
    took_ms: list[float] = []
    end = time.monotonic() + _LONGEST_S
    while len(took_ms) < _CALLS and time.monotonic() < end:
        started = time.perf_counter()
        ask(client, model, inputs)
        took_ms.append((time.perf_counter() - started) * 1e3)
    return float(np.percentile(took_ms, 50)), float(np.percentile(took_ms, 99))
