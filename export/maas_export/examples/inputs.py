"""Makes the JSON files that example programs send to networks; ``python -m maas_export.examples.inputs`` writes them.

They are committed: a program under ``examples/`` needs nothing but its own folder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from maas_core.files import write_atomic
from maas_core.golden import Array
from maas_export.catalogue import PythonModel, model_named
from maas_export.steps import text_column

_PICTURES = ("digit_autoencoder", "digit_detector", "photo_cnn")
_LANGUAGES = ("language_rnn", "language_attention", "language_transformer")
_NAME = "Guten Morgen"
_SENTENCE = "The cat is sleeping on the sofa."
_DECIMALS = 2


def example_inputs() -> dict[Path, Array]:
    """Each file with its tensor, batch axis and all: a seeded sample, or what preprocessing makes of a text."""
    found = {
        _path(name, "image"): model_named(name).sample_inputs(np.random.default_rng(0), 1)["image"]
        for name in _PICTURES
    }
    letters = _read("text_preprocess", _NAME, "tokens")
    pieces = _read("sentence_tokenizer", _SENTENCE, "input_ids")
    return (
        found
        | {_path(name, "tokens"): letters for name in _LANGUAGES}
        | {_path("sentence_encoder", "input_ids"): pieces}
    )


def _read(name: str, text: str, output: str) -> Array:
    """[1, length], without padding."""
    model = model_named(name)
    if not isinstance(model, PythonModel):
        raise TypeError(f"{name} is no preprocessing")
    read = model.reference({"text": text_column([text])}, {})[output]
    return read[:, read[0] != 0]


def written(tensor: Array) -> str:
    """As JSON; numbers with a point are rounded, which no network minds."""
    rounded = np.round(tensor.astype(np.float64), _DECIMALS) + 0.0  # no -0.0
    return json.dumps(rounded.tolist()).replace(".0,", ",").replace(".0]", "]") + "\n"


def _path(name: str, tensor: str) -> Path:
    path = model_named(name).example[tensor]
    if not isinstance(path, Path):
        raise TypeError(f"the example of {name} has no file for {tensor}")
    return path


if __name__ == "__main__":
    for file, tensor in example_inputs().items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, written(tensor))
