"""How a network is trained, as numbers; no torch here, so that the catalogue is quick to read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """Gradient descent whose rate rises for a while and then falls along half a cosine wave.

    Attributes:
        epochs: passes over the data.
        batch_size: samples of one step.
        learning_rate: the highest rate.
        weight_decay: as torch's optimizer of that name takes it.
        momentum: of ``sgd``; ``adamw`` has its own.
        warmup_share: share of all steps in which the rate rises from zero.
        max_gradient_norm: gradients with a larger norm are scaled down to it.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    warmup_share: float = 0.0
    max_gradient_norm: float | None = None

    def rate_share(self, done: float) -> float:
        """The share of the highest rate that is due after ``done`` of the training, 0 to 1."""
        if done < self.warmup_share:
            return done / self.warmup_share
        return 0.5 * (1 + math.cos(math.pi * (done - self.warmup_share) / (1 - self.warmup_share)))
