"""A network of the tests' own: a dynamic axis, a normalisation, dropout, and two outputs of one shape."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maas_core.golden import Tensors
from maas_core.spec import AxisSizes, ModelSpec, Objective, Serving, TensorSpec, Tolerance
from maas_export.catalogue import TorchModel
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.recipe import Recipe

_FEATURES, _CLASSES = 6, 4


class Network(nn.Module):
    """Frames of 6 values from 0 to 255 each -> two answers of 4 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(_FEATURES, 16)
        self.dropout = nn.Dropout(0.5)
        self.left = nn.Linear(16, _CLASSES)
        self.right = nn.Linear(16, _CLASSES)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, steps, 6] -> [batch, 4], [batch, 4]."""
        hidden = self.dropout(torch.relu(self.body((frames - 128.0) / 127.0))).mean(1)
        return self.left(hidden), self.right(hidden)


class TwoHeads(TorchModel):
    """Learns the mean of the frames' first four values, and its opposite."""

    spec = ModelSpec(
        name="two_heads",
        task="test",
        summary="two answers to frames",
        backend="onnxruntime",
        inputs=(TensorSpec("frames", "FP32", ("steps", _FEATURES), "0 to 255"),),
        outputs=(
            TensorSpec("left", "FP32", (_CLASSES,), "mean of the first four"),
            TensorSpec("right", "FP32", (_CLASSES,), "its opposite"),
        ),
        serving=Serving(max_batch_size=8),
        tolerances={"FP32": Tolerance(2e-5, 2e-5)},
        objective=Objective(p99_ms=20.0),
        axes={"steps": AxisSizes(1, 5, 20)},
    )
    recipe = Recipe(epochs=1, batch_size=16, learning_rate=0.05)

    def build(self) -> nn.Module:
        return Network()

    def load_data(self, path: Path | None, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        train, test = ({"frames": self._frames(rng, size, 5)} for size in (64, 32))
        return Split(train, test, "drawn at random")

    def loss(self, module: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        left, right = module(batch["frames"])
        wanted = batch["frames"].mean(1)[:, :_CLASSES] / 255
        return ((left - wanted) ** 2 + (right + wanted) ** 2).mean()

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        with torch.inference_mode():
            loss = float(self.loss(module, {"frames": torch.from_numpy(split.test["frames"])}))
        return Evaluation("squared error", {"squared error": loss}, 32, b"", higher_is_better=False)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        return {"frames": self._frames(rng, size, int(rng.integers(1, 21)))}

    @staticmethod
    def _frames(rng: np.random.Generator, size: int, steps: int) -> np.ndarray:
        return rng.integers(0, 256, (size, steps, _FEATURES)).astype(np.float32)


MODELS = (TwoHeads(),)
