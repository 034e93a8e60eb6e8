"""What a folder of Hugging Face's libraries holds; needs none of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_core.errors import WrongUse

CONFIG_FILE = "config.json"
TOKENIZER_FILE = "tokenizer.json"
PROCESSOR_FILE = "preprocessor_config.json"
_WEIGHTS = "*.safetensors"
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
_READ = (CONFIG_FILE, _WEIGHTS, "*.safetensors.index.json", TOKENIZER_FILE, "tokenizer_config.json", PROCESSOR_FILE)


@dataclass(frozen=True)
class Directory:
    """A model's folder.

    Attributes:
        path: absolute.
        config: ``config.json``.
        has_weights: otherwise the weights are random.
    """

    path: Path
    config: dict[str, Any]
    has_weights: bool

    @property
    def tokenizer(self) -> Path | None:
        """The vocabulary that the ``tokenizers`` library reads."""
        return _if_file(self.path / TOKENIZER_FILE)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; empty where it is not there.

        Raises:
            WrongUse: where it is no JSON object.
        """
        path = _if_file(self.path / name)
        return _read_json(path) if path else {}


def read_directory(path: Path) -> Directory:
    """Looks into a folder; nothing of it is run or unpickled.

    Raises:
        WrongUse: where it holds no model, or one that cannot be read safely.
    """
    if not path.is_dir():
        raise WrongUse(f"{path} is no folder", "name one on this machine: nothing is downloaded")
    if not (path / CONFIG_FILE).is_file():
        raise WrongUse(f"{path} has no {CONFIG_FILE}", "name a folder that save_pretrained() wrote")
    config = _read_json(path / CONFIG_FILE)
    if "auto_map" in config:
        raise WrongUse(f"{path / CONFIG_FILE} wants code of its own (auto_map)", "such code is never run: use OwnModel")
    if not isinstance(config.get("model_type"), str):
        raise WrongUse(f"{path / CONFIG_FILE} has no model_type", "name a folder that save_pretrained() wrote")
    has_weights = any(path.glob(_WEIGHTS))
    pickled = sorted(file.name for pattern in _PICKLED for file in path.glob(pattern))
    if pickled and not has_weights:
        raise WrongUse(
            f"{path / pickled[0]} is not safetensors and is not opened",
            "save the model again where you trust it: model.save_pretrained(folder, safe_serialization=True)",
        )
    return Directory(path.absolute(), config, has_weights)


def files_of(path: Path) -> list[Path]:
    """The files that decide what is exported, by name."""
    return sorted({file for pattern in _READ for file in path.glob(pattern)})


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WrongUse(f"{path} cannot be read: {error}", "save the model again") from error
    if not isinstance(content, dict):
        raise WrongUse(f"{path} is no JSON object", "save the model again")
    return content
