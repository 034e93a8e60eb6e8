"""One training from data to stored weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import mean

from torch import nn

from maas_core.errors import WrongUse
from maas_core.manifest import read_manifest
from maas_export import weights
from maas_export.catalogue import PretrainedModel, TorchModel, torch_model_named
from maas_export.data.split import Split
from maas_export.recipe import Recipe
from maas_export.sources import training_sources
from maas_export.training import train as fit

Told = Callable[[str, int, int, float], None]
"""Hears of a training before its first epoch and after each: its title, the number of the epoch (0 before the first),
how many there are, and the mean loss."""
_DECIDING = ("torch", "numpy", "scikit-learn", "transformers")
"""Packages whose version may change a weight or a figure."""


@dataclass(frozen=True)
class TrainingRequest:
    """What a user asked for.

    Attributes:
        data: the user's own data; ``None`` for the built-in.
        seed: of the split (where training starts from a version: that one's split), and of the first training.
        seeds: how many trainings, each with the next seed, on the same split.
        epochs: in place of the recipe's.
        share: of the training part that is used, above 0, at most 1.
        start: the version folder whose weights training starts from.
        again: train even where equal weights are kept.
    """

    data: Path | None = None
    seed: int = 0
    seeds: int = 1
    epochs: int | None = None
    share: float = 1.0
    start: Path | None = None
    again: bool = False


def train_model(name: str, request: TrainingRequest, told: Told) -> tuple[weights.StoredWeights, bool]:
    """Trains and evaluates; returns the stored weights and whether they are new.

    Of several seeds the first one's weights become the latest, whatever the others reach: choosing the best would
    flatter them.
    """
    model = torch_model_named(name)
    start = _start(model, request.start)
    # What the first training saw must not become held-out data of the second.
    split_seed = start.record.split_seed if start else request.seed
    split = model.load_data(request.data, split_seed).share(request.share, split_seed)
    last_seed = request.seed + request.seeds - 1
    over_seeds: dict[int, float] = {}
    # The first seed comes last, so that its weights are the newest.
    for seed in range(last_seed, request.seed - 1, -1):
        stored, is_new = _train_seed(model, split, start, seed, split_seed, request, told)
        over_seeds[seed] = stored.record.evaluation["value"]
    if request.seeds > 1:
        stored = weights.add_to_record(stored, over_seeds=dict(sorted(over_seeds.items())))
    return stored, is_new


def seed_mean(record: weights.TrainingRecord) -> float | None:
    """The mean of the evaluation's value over seeds; ``None`` where only one was trained."""
    return mean(record.over_seeds.values()) if record.over_seeds else None


def _start(model: TorchModel, version: Path | None) -> weights.StoredWeights | None:
    if version is None:
        return None
    if isinstance(model, PretrainedModel):
        raise WrongUse(f"{model.name} is not trained here, its weights come with a package", "leave out --from-version")
    manifest = read_manifest(version)
    if manifest.weights is None or manifest.model != model.name:
        raise WrongUse(f"{version} holds no weights of {model.name}", "name a version of the same network")
    stored = weights.by_digest(model.name, manifest.weights.sha256)
    if stored is None:
        raise WrongUse(
            f"the weights behind {version} ({manifest.weights.sha256[:16]}) are not kept on this machine",
            "copy build/weights/ from the machine that trained it",
        )
    return stored


def _train_seed(
    model: TorchModel,
    split: Split,
    start: weights.StoredWeights | None,
    seed: int,
    split_seed: int,
    request: TrainingRequest,
    told: Told,
) -> tuple[weights.StoredWeights, bool]:
    recipe = replace(model.recipe, epochs=request.epochs or model.recipe.epochs)
    key = weights.training_key(
        {
            "data": split.digest,
            "seed": seed,
            "recipe": asdict(recipe),
            "versions": {name: version(name) for name in _DECIDING},
            "code": training_sources(model),
            "start": start.record.sha256 if start else None,
        }
    )
    kept = weights.with_key(model.name, key)
    if kept is not None and not request.again:
        weights.make_latest(kept.record)
        return kept, False
    started = time.monotonic()
    checkpoint = weights.checkpoint_path(model.name, key)
    if request.again:
        checkpoint.unlink(missing_ok=True)
    module = _fitted(model, split, recipe, seed, checkpoint, start, told)
    evaluation = model.evaluate(module, split)
    before = model.evaluate(start.load_into(model.build()), split).as_dict() if start else None
    stored = weights.store(
        module,
        evaluation.picture,
        model=model.name,
        key=key,
        source=split.source,
        seed=seed,
        split_seed=split_seed,
        epochs=recipe.epochs,
        duration_s=round(time.monotonic() - started, 1),
        evaluation=evaluation.as_dict(),
        started_from=start.record.sha256 if start else None,
        evaluation_before=before,
    )
    checkpoint.unlink(missing_ok=True)
    return stored, True


def _fitted(
    model: TorchModel,
    split: Split,
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    start: weights.StoredWeights | None,
    told: Told,
) -> nn.Module:
    if isinstance(model, PretrainedModel):
        return model.fetch().eval()
    title = f"{model.name}, seed {seed}"
    told(title, 0, recipe.epochs, math.nan)
    return fit(
        model,
        split.train,
        recipe,
        seed,
        lambda epoch, loss: told(title, epoch, recipe.epochs, loss),
        checkpoint=checkpoint,
        start=start.load_into if start else None,
    )
