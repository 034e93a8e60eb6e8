"""What is sent: golden samples of the served version, files of the user, or values made up from the served config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maas_client import ModelSpec
from maas_client._bench.inputs import from_items, generated
from maas_client._cli.items import Target, open_items
from maas_core.errors import WrongUse
from maas_core.golden import GOLDEN_FILE, Array, Sample, Tensors, load_golden
from maas_core.manifest import MANIFEST_FILE, Manifest, read_manifest
from maas_loadtest.settings import Settings

MOST_DISTINCT = 64
"""So many different requests take turns."""
_REGROUPED = "rows-"
_OPEN_SIZE = 16
"""Of a dimension that a model leaves open, where values are made up."""


@dataclass(frozen=True)
class Values:
    """Requests as arrays, with the right answers where they are known.

    Attributes:
        source: ``golden``, ``generated`` or ``files``.
        samples: of a stateful model the first axis counts the steps of one sequence.
        manifest: of the served version, where the repository has it.
        regrouped: the numbers of those samples that are rows of larger golden samples.
        version: whose right answers they are; "" where these are not known.
    """

    source: str
    samples: tuple[Sample, ...]
    manifest: Manifest | None
    version: str = ""
    regrouped: frozenset[int] = frozenset()


def values_for(spec: ModelSpec, version: str, settings: Settings) -> Values:
    """The requests of one model.

    Args:
        spec: as the server describes it.
        version: the one that is asked for; "" is the highest that is ready.
        settings: ``inputs``, ``batch_size``, ``repository`` and ``seed`` count.

    Raises:
        WrongUse: there are none, or they do not fit the model.
        InputError: a file of the user does not fit the model.
    """
    if settings.batch_size > max(1, spec.max_batch_size):
        raise WrongUse(
            f"{spec.name} takes batches of at most {max(1, spec.max_batch_size)}",
            f"--batch-size is {settings.batch_size}",
        )
    folder = _version_folder(spec, version, settings)
    manifest = read_manifest(folder) if folder and (folder / MANIFEST_FILE).is_file() else None
    if manifest:
        _check_digest(spec, manifest, folder)
    if settings.inputs in ("auto", "golden"):
        if folder and (folder / GOLDEN_FILE).is_file():
            samples = _golden(spec, load_golden(folder / GOLDEN_FILE), settings)
            if samples:
                regrouped = frozenset(number for number, one in enumerate(samples) if one.name.startswith(_REGROUPED))
                return Values("golden", samples, manifest, folder.name, regrouped)
        if settings.inputs == "golden":
            raise WrongUse(
                f"{settings.repository} holds no golden samples of {spec.name} {version}".rstrip(),
                "name the served repository with --repository, or take --inputs generated",
            )
    if settings.inputs in ("auto", "generated"):
        made = generated(spec, {}, seed=settings.seed, batch_size=settings.batch_size, open_size=_OPEN_SIZE)
        return Values("generated", _as_samples(spec, made, settings), manifest)
    target = Target(spec, {})
    read = from_items(target, open_items(settings.inputs.split(","), target), None)
    return Values("files", _as_samples(spec, read, settings), manifest)


def _version_folder(spec: ModelSpec, version: str, settings: Settings) -> Path | None:
    number = int(version) if version else max(spec.versions, default=0)
    folder = Path(settings.repository) / spec.name / str(number)
    return folder if folder.is_dir() else None


def _check_digest(spec: ModelSpec, manifest: Manifest, folder: Path | None) -> None:
    served = next((spec.digests[number] for number in spec.digests if folder and folder.name == str(number)), "")
    if served and served != manifest.digest:
        raise WrongUse(
            f"{folder} is not what the server serves: its digest is {manifest.digest[:12]}, the server's {served[:12]}",
            "name the repository that is served with --repository",
        )


def _golden(spec: ModelSpec, samples: Sequence[Sample], settings: Settings) -> tuple[Sample, ...]:
    """As the model is called: only the inputs and outputs that it has when served, in batches of the wanted size."""
    served = [
        Sample(
            sample.name,
            {name: value for name, value in sample.inputs.items() if name in spec.inputs},
            {name: value for name, value in sample.outputs.items() if name in spec.outputs},
        )
        for sample in samples
    ]
    if spec.sequence:
        return tuple(_first_steps(sample, settings.steps) for sample in served)[:MOST_DISTINCT]
    if not spec.max_batch_size:
        return tuple(served)[:MOST_DISTINCT]
    return tuple(_batches(served, settings.batch_size))


def _first_steps(sample: Sample, steps: int) -> Sample:
    return Sample(
        sample.name,
        {name: value[:steps] for name, value in sample.inputs.items()},
        {name: value[:steps] for name, value in sample.outputs.items()},
    )


def _batches(samples: Sequence[Sample], size: int) -> list[Sample]:
    """Samples of that size as they are, then the rows of the others, regrouped by their shape."""
    whole = [sample for sample in samples if all(len(value) == size for value in sample.inputs.values())]
    by_shape: dict[tuple[tuple[str, tuple[int, ...]], ...], list[tuple[Tensors, Tensors]]] = {}
    for sample in samples:
        if any(sample is one for one in whole):
            continue
        shape = tuple((name, value.shape[1:]) for name, value in sorted(sample.inputs.items()))
        by_shape.setdefault(shape, []).extend(_rows(sample))
    groups = []
    for rows in by_shape.values():
        # A batch larger than the stock of rows takes them again from the first one on.
        stock = rows * -(-size // len(rows))
        groups += [stock[start : start + size] for start in range(0, len(stock) - size + 1, size)]
    regrouped = [_joined(f"{_REGROUPED}{number}", group) for number, group in enumerate(groups)]
    return [*whole, *regrouped][:MOST_DISTINCT]


def _rows(sample: Sample) -> list[tuple[Tensors, Tensors]]:
    count = len(next(iter(sample.inputs.values())))
    if any(len(value) != count for value in (*sample.inputs.values(), *sample.outputs.values())):
        return []
    return [
        (
            {name: value[row : row + 1] for name, value in sample.inputs.items()},
            {name: value[row : row + 1] for name, value in sample.outputs.items()},
        )
        for row in range(count)
    ]


def _joined(name: str, rows: Sequence[tuple[Tensors, Tensors]]) -> Sample:
    def side(which: int) -> dict[str, Array]:
        return {tensor: np.concatenate([row[which][tensor] for row in rows]) for tensor in rows[0][which]}

    return Sample(name, side(0), side(1))


def _as_samples(spec: ModelSpec, requests: Sequence[Tensors], settings: Settings) -> tuple[Sample, ...]:
    """Without right answers. Of a stateful model all requests are steps of one sequence."""
    if not spec.sequence:
        return tuple(Sample(f"request-{number}", one, {}) for number, one in enumerate(requests[:MOST_DISTINCT]))
    steps = [requests[number % len(requests)] for number in range(settings.steps)]
    joined = {name: np.concatenate([np.asarray(step[name]) for step in steps]) for name in steps[0]}
    return (Sample("sequence", joined, {}),)
