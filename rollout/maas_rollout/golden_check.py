"""Asking a served version its own golden samples, as callers do: over HTTP and over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maas_client import Client
from maas_client.errors import MaasClientError
from maas_core.compare import compare
from maas_core.config import read_config
from maas_core.errors import NotHeld
from maas_core.golden import GOLDEN_FILE, Sample, Tensors, load_golden
from maas_core.manifest import read_manifest
from maas_core.spec import Tolerance


def check_golden(version: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Asks every sample of a version folder at every URL.

    Returns:
        How many samples were asked over each protocol, and the largest absolute difference.

    Raises:
        NotHeld: where an answer differs from the golden one, or there is none.
    """
    config = read_config(version)
    tolerances = {
        datatype: Tolerance(entry.absolute, entry.relative)
        for datatype, entry in read_manifest(version).tolerances.items()
    }
    samples = load_golden(version / GOLDEN_FILE)
    worst = 0.0
    for url in urls:
        with Client(url) as client:
            for sample in samples:
                answer = _ask(client, config, sample, url)
                results = compare(sample.outputs, answer, tolerances)
                bad = next((result for result in results if not result.passed), None)
                if bad is not None:
                    raise NotHeld(f"{config.name} at {url}, sample {sample.name}: {bad.output} {bad.detail}")
                worst = max([worst, *(result.max_absolute for result in results)])
    return {"samples": len(samples), "protocols": len(urls), "max_absolute": worst}


def _ask(client: Client, config: Any, sample: Sample, url: str) -> Tensors:
    try:
        if config.HasField("sequence_batching"):
            return _ask_steps(client, config.name, sample)
        if config.model_transaction_policy.decoupled:
            return _joined([dict(answer) for answer in client.stream(config.name, sample.inputs)])
        return dict(client.infer(config.name, sample.inputs))
    except MaasClientError as error:
        raise NotHeld(f"{config.name} at {url}, sample {sample.name}: {error}") from error


def _ask_steps(client: Client, model: str, sample: Sample) -> Tensors:
    """A sample of a stateful model is one sequence; the first axis counts its steps."""
    steps = len(next(iter(sample.inputs.values())))
    with client.sequence(model) as sequence:
        return _joined(
            [
                dict(
                    sequence.infer(
                        {name: value[index : index + 1] for name, value in sample.inputs.items()},
                        last=index == steps - 1,
                    )
                )
                for index in range(steps)
            ]
        )


def _joined(answers: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]} if answers else {}
