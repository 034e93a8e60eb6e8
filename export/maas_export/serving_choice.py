"""Measured serving parameters in place of a spec's guess: ``models/serving.toml``, which ``maas tune`` writes."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

from maas_core.errors import WrongUse
from maas_core.spec import Serving

CHOICES_PATH = Path(__file__).parent / "models" / "serving.toml"
_LEAST = {"instances": 1, "intra_op_threads": 1, "queue_delay_us": 0, "max_batch_size": 0}
_EVIDENCE = "evidence"


def serving_for(model: str, default: Serving, choices: Path = CHOICES_PATH) -> Serving:
    """``default`` with what the file has chosen for ``model``.

    Raises:
        WrongUse: where the file is not TOML, or its table of the model holds what a choice cannot be.
    """
    try:
        table = tomllib.loads(choices.read_text(encoding="utf-8")).get(model, {})
    except FileNotFoundError:
        return default
    except tomllib.TOMLDecodeError as error:
        raise WrongUse(f"{choices} is not TOML: {error}", "mend that line") from error
    chosen = {key: value for key, value in table.items() if key != _EVIDENCE}
    for key, value in chosen.items():
        if key not in _LEAST:
            raise WrongUse(f"{choices}: {model} has {key!r}", f"a choice has {', '.join(_LEAST)}")
        if type(value) is not int or value < _LEAST[key]:
            raise WrongUse(
                f"{choices}: {key} of {model} is {value!r}", f"give a whole number of at least {_LEAST[key]}"
            )
    return replace(default, **chosen)
