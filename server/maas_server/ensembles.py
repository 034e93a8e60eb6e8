"""Which models need others to answer, as their configurations say: ensembles, and Python models that ask others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maas_core.config import CALLS_PARAMETER, CONFIG_FILE, read_config
from maas_core.errors import WrongUse


def steps_by_ensemble(repository: Path) -> dict[str, list[str]]:
    """The models that each ensemble is made of, and those that a Python model names in its parameter ``calls``.

    A configuration that cannot be read needs none here: Triton refuses it, in its own words.
    """
    found = {}
    for path in sorted(repository.glob(f"[!.]*/{CONFIG_FILE}")):
        try:
            config = read_config(path.parent)
        except (WrongUse, UnicodeDecodeError):
            continue
        if config.platform == "ensemble" or config.HasField("ensemble_scheduling"):
            found[path.parent.name] = [step.model_name for step in config.ensemble_scheduling.step]
        elif CALLS_PARAMETER in config.parameters:
            found[path.parent.name] = config.parameters[CALLS_PARAMETER].string_value.split(",")
    return found


def with_steps(repository: Path, models: Sequence[str]) -> list[str]:
    """``models`` and the models that they need to answer, each once."""
    steps = steps_by_ensemble(repository)
    wanted: dict[str, None] = {}
    waiting = list(reversed(models))
    while waiting:
        model = waiting.pop()
        if model not in wanted:
            wanted[model] = None
            waiting += reversed(steps.get(model, []))
    return list(wanted)
