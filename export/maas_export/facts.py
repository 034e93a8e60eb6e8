"""What was measured of the catalogue's models on the machine where it is developed: ``models/facts.json``, in git.

``maas cards --measure`` writes it; cards and ``maas models`` show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from maas_core.errors import MaasError
from maas_core.files import write_atomic

FACTS_PATH = Path(__file__).parent / "models" / "facts.json"


class Facts(BaseModel):
    """The figures of one model.

    Attributes:
        measure: see :class:`maas_export.evaluation.Evaluation`; ``None`` for a model that knows no labelled cases.
        value: its value: of the weights for a network, as served for what people call.
        figures: all figures of the evaluation.
        baselines: what simpler methods reach in ``measure``.
        seeds_mean: the mean of ``value`` over ``seeds`` trainings.
        parameters: how many weights it has.
        training_s: how long training and evaluation took, on two cores.
        size_bytes: of the bundle; of an ensemble, with its steps.
        p50_ms: the median time of one call of one caller over gRPC.
        p99_ms: its 99th percentile.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure: str | None = None
    value: float | None = None
    higher_is_better: bool = True
    figures: dict[str, float] = {}
    baselines: dict[str, float] = {}
    samples: int = 0
    seeds: int = 1
    seeds_mean: float | None = None
    parameters: int | None = None
    training_s: float | None = None
    size_bytes: int
    p50_ms: float
    p99_ms: float


class AllFacts(BaseModel):
    """The figures of all models, and where they were seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    machine: str = "not measured yet"
    date: str = ""
    models: dict[str, Facts] = {}


def load_facts(path: Path = FACTS_PATH) -> AllFacts:
    """What is in git.

    Raises:
        MaasError: where the file is damaged.
    """
    try:
        return AllFacts.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return AllFacts()
    except ValidationError as error:
        raise MaasError(f"{path} is damaged", "run `maas cards --measure`") from error


def save_facts(machine: str, date: str, models: Mapping[str, Facts], path: Path = FACTS_PATH) -> None:
    """Writes the figures with four significant digits: more would change at every run."""
    facts = AllFacts(machine=machine, date=date, models=dict(sorted(models.items())))
    rounded = _rounded(json.loads(facts.model_dump_json(exclude_defaults=True)))
    write_atomic(path, json.dumps(rounded, indent=1, ensure_ascii=False) + "\n")


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
