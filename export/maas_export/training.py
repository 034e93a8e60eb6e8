"""Training a classifier: the same seed gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from maas_core.errors import MaasError
from maas_core.golden import Array
from maas_export.catalogue import TorchModel
from maas_export.data.split import Split

_THREADS = 2
"""A fixed number: the order of a sum, and so its last bits, depend on it."""

Progress = Callable[[int, int, float], None]
"""Called after each epoch with its number (from 1), how many there are, and the mean loss (cross-entropy, nats)."""


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent on cross-entropy, the learning rate falling along half a cosine wave."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float


def train(model: TorchModel, split: Split, recipe: Recipe, seed: int, progress: Progress) -> nn.Module:
    """Trains ``model`` on the training part of ``split`` and returns it in evaluation mode.

    Raises:
        MaasError: where the loss stops being a number.
    """
    torch.set_num_threads(_THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    module = model.build().train()
    optimizer = torch.optim.SGD(
        module.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay
    )
    steps_per_epoch = math.ceil(len(split.train_inputs) / recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * steps_per_epoch)
    for epoch in range(1, recipe.epochs + 1):
        inputs = torch.from_numpy(model.augment(split.train_inputs, rng))
        labels = torch.from_numpy(split.train_labels)
        order = torch.from_numpy(rng.permutation(len(inputs)))
        loss = _epoch(
            module, optimizer, schedule, [(inputs[part], labels[part]) for part in order.split(recipe.batch_size)]
        )
        if not math.isfinite(loss):
            raise MaasError(
                f"the loss of {model.name} became {loss} in epoch {epoch}", "lower the recipe's learning rate"
            )
        progress(epoch, recipe.epochs, loss)
    return module.eval()


def _epoch(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    batches: list[tuple[torch.Tensor, torch.Tensor]],
) -> float:
    total = 0.0
    for inputs, labels in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(inputs), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(batches)


def predict_classes(module: nn.Module, inputs: Array, batch_size: int = 256) -> Array:
    """The likeliest class of each input."""
    with torch.inference_mode():
        parts = torch.from_numpy(inputs).split(batch_size)
        return torch.cat([module(part).argmax(1) for part in parts]).numpy()
