"""Training: the same seed gives the same bytes, also where a run was killed and resumed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from maas_core.errors import MaasError
from maas_core.golden import Tensors
from maas_export.catalogue import TorchModel
from maas_export.checkpoint import read_checkpoint, write_checkpoint
from maas_export.data.split import samples_in
from maas_export.recipe import Recipe

_THREADS = 2
"""A fixed number: the order of a sum, and so its last bits, depend on it."""

Progress = Callable[[int, float], None]
"""Called after each epoch with its number (from 1) and the mean loss."""


@dataclass
class _Run:
    """All that decides how a training goes on."""

    module: nn.Module
    optimizer: torch.optim.Optimizer
    rng: np.random.Generator
    epoch: int = 0

    def state(self) -> dict[str, Any]:
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "numpy_rng": json.dumps(self.rng.bit_generator.state),
            "epoch": self.epoch,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["torch_rng"])
        self.rng.bit_generator.state = json.loads(state["numpy_rng"])
        self.epoch = state["epoch"]


def train(
    model: TorchModel,
    data: Tensors,
    recipe: Recipe,
    seed: int,
    progress: Progress,
    *,
    checkpoint: Path,
    start: Callable[[nn.Module], nn.Module] | None = None,
) -> nn.Module:
    """Trains ``model`` on the columns ``data`` and returns it in evaluation mode.

    Args:
        model: what is trained.
        data: the training part of the data.
        recipe: how.
        seed: of the fresh weights, the order, and what ``epoch_data`` draws.
        progress: hears of every epoch.
        checkpoint: written after every epoch; where it is there already, training goes on from it.
        start: fills the module with weights to start from.

    Raises:
        MaasError: where the loss stops being a number.
    """
    torch.set_num_threads(_THREADS)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    module = model.build()
    if start is not None:
        start(module)
    run = _Run(module.train(), _optimizer(module, recipe), np.random.default_rng(seed))
    kept = read_checkpoint(checkpoint)
    if kept is not None:
        run.restore(kept)
    while run.epoch < recipe.epochs:
        loss = _epoch(model, data, recipe, run)
        run.epoch += 1
        if not math.isfinite(loss):
            raise MaasError(
                f"the loss of {model.name} became {loss} in epoch {run.epoch}", "lower the recipe's learning rate"
            )
        if run.epoch < recipe.epochs:
            write_checkpoint(checkpoint, run.state())
        progress(run.epoch, loss)
    return run.module.eval()


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _epoch(model: TorchModel, data: Tensors, recipe: Recipe, run: _Run) -> float:
    """One pass over the data; the mean loss of its batches."""
    drawn = model.epoch_data(data, run.rng)
    columns = {
        name: torch.from_numpy(np.ascontiguousarray(column))
        for name, column in drawn.items()
        if column.dtype.kind in "fiub"
    }
    order = torch.from_numpy(run.rng.permutation(samples_in(drawn)))
    batches = order.split(recipe.batch_size)
    total = 0.0
    for number, part in enumerate(batches):
        rate = recipe.learning_rate * recipe.rate_share((run.epoch + number / len(batches)) / recipe.epochs)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        total += _step(model, run, {name: column[part] for name, column in columns.items()}, recipe)
    return total / len(batches)


def _step(model: TorchModel, run: _Run, batch: Mapping[str, torch.Tensor], recipe: Recipe) -> float:
    run.optimizer.zero_grad()
    loss = model.loss(run.module, batch)
    loss.backward()
    if recipe.max_gradient_norm is not None:
        nn.utils.clip_grad_norm_(run.module.parameters(), recipe.max_gradient_norm)
    run.optimizer.step()
    return loss.item()
