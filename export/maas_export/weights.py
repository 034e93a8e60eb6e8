"""Torch weights, kept by digest under ``build/weights/MODEL/``, so that a later version can start from any of them.

Each training leaves a folder named by the SHA-256 of its weights: ``weights.safetensors``, ``training.json`` and the
picture of its evaluation. ``latest`` holds the digest of the newest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from maas_core.errors import MaasError, WrongUse
from maas_core.files import sha256_of, write_atomic
from maas_core.layout import weights_dir

if TYPE_CHECKING:
    from torch import nn

_WEIGHTS_FILE = "weights.safetensors"
_RECORD_FILE = "training.json"
_PICTURE_FILE = "evaluation.png"
_LATEST_FILE = "latest"
_DIGITS_OF_FOLDER = 16


class TrainingRecord(BaseModel):
    """How weights came to be.

    Attributes:
        key: digest of all that decides the outcome (code, data, seed, recipe, torch): equal keys give equal weights.
        evaluation: see :meth:`maas_export.evaluation.Evaluation.as_dict`.
        started_from: SHA-256 of the weights that training started from; ``None`` where it started from fresh ones.
        evaluation_before: the same evaluation of the weights that it started from.
        split_seed: of the split into training and held-out data.
        over_seeds: the evaluation's value by seed, where several were trained on the same data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    sha256: str
    key: str
    source: str
    seed: int
    epochs: int
    duration_s: float
    evaluation: dict[str, Any]
    started_from: str | None = None
    evaluation_before: dict[str, Any] | None = None
    split_seed: int = 0
    over_seeds: dict[int, float] = {}


@dataclass(frozen=True)
class StoredWeights:
    """One training's result on disk."""

    folder: Path
    record: TrainingRecord

    @property
    def picture(self) -> Path:
        """What was seen on held-out data, as a PNG."""
        return self.folder / _PICTURE_FILE

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes in the data of a classifier; empty for other networks."""
        return tuple(scores["label"] for scores in self.record.evaluation["details"].get("classes", ()))

    def load_into(self, module: nn.Module) -> nn.Module:
        """Fills ``module`` and returns it in evaluation mode.

        Raises:
            MaasError: where the file was changed or does not fit the module.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.folder / _WEIGHTS_FILE
        if not path.is_file() or sha256_of(path) != self.record.sha256:
            raise MaasError(f"{path} is missing or damaged", f"run `maas train {self.record.model} --again`")
        try:
            module.load_state_dict(load(path.read_bytes()))
        except (RuntimeError, SafetensorError) as error:
            first = str(error).strip().splitlines()[0]
            raise MaasError(
                f"{path} does not fit the network of {self.record.model} ({first})",
                f"the network has changed: run `maas train {self.record.model}`",
            ) from error
        return module.eval()


def store(module: nn.Module, picture: bytes, **facts: Any) -> StoredWeights:
    """Writes weights, record and picture, then makes them the latest.

    Args:
        module: the trained network.
        picture: its evaluation as a PNG.
        **facts: the fields of :class:`TrainingRecord`, but for ``sha256``.
    """
    from safetensors.torch import save

    data = save(module.state_dict())
    record = TrainingRecord(sha256=hashlib.sha256(data).hexdigest(), **facts)
    folder = weights_dir() / record.model / record.sha256[:_DIGITS_OF_FOLDER]
    write_atomic(folder / _WEIGHTS_FILE, data)
    write_atomic(folder / _PICTURE_FILE, picture)
    write_atomic(folder / _RECORD_FILE, record.model_dump_json(indent=1) + "\n")
    make_latest(record)
    return StoredWeights(folder, record)


def add_to_record(stored: StoredWeights, **facts: Any) -> StoredWeights:
    """The same weights with more said of them."""
    record = stored.record.model_copy(update=facts)
    write_atomic(stored.folder / _RECORD_FILE, record.model_dump_json(indent=1) + "\n")
    return StoredWeights(stored.folder, record)


def make_latest(record: TrainingRecord) -> None:
    """Makes kept weights those that the next export takes."""
    write_atomic(weights_dir() / record.model / _LATEST_FILE, record.sha256 + "\n")


def latest(model: str) -> StoredWeights | None:
    """The newest weights of ``model``; ``None`` where it was never trained."""
    pointer = weights_dir() / model / _LATEST_FILE
    return by_digest(model, pointer.read_text().strip()) if pointer.is_file() else None


def by_digest(model: str, sha256: str) -> StoredWeights | None:
    """The weights of that digest; ``None`` where they are not kept here."""
    folder = weights_dir() / model / sha256[:_DIGITS_OF_FOLDER]
    try:
        record = TrainingRecord.model_validate_json((folder / _RECORD_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise MaasError(
            f"{folder / _RECORD_FILE} is damaged or of an older tool", f"run `maas train {model} --again`"
        ) from error
    return StoredWeights(folder, record)


def with_key(model: str, key: str) -> StoredWeights | None:
    """The kept weights of the training with that key."""
    for path in sorted((weights_dir() / model).glob(f"*/{_RECORD_FILE}")):
        try:
            record = TrainingRecord.model_validate_json(path.read_bytes())
        except ValidationError:
            continue  # damaged, or of an older tool: as good as not kept
        if record.key == key:
            return StoredWeights(path.parent, record)
    return None


def checkpoint_path(model: str, key: str) -> Path:
    """Where a training with that key leaves its checkpoints."""
    return weights_dir() / model / f"checkpoint-{key[:_DIGITS_OF_FOLDER]}.pt"


def required(model: str) -> StoredWeights:
    """The newest weights of ``model``.

    Raises:
        WrongUse: where it was never trained.
    """
    stored = latest(model)
    if stored is None:
        raise WrongUse(f"{model} has no weights yet", f"run `maas train {model}` first")
    return stored


def training_key(parts: dict[str, Any]) -> str:
    """The digest of all that decides the outcome of a training."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
