"""Networks that choose one class of several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from maas_core.golden import Array, Tensors
from maas_export.catalogue import TorchModel
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation, classification

if TYPE_CHECKING:
    import torch
    from torch import nn

_BATCH = 256


class Classifier(TorchModel):
    """A network whose first output holds a logit for each of the spec's labels.

    Its data has a column ``label`` with class numbers; what :meth:`epoch_data` gives holds the network's inputs by
    their names and ``label``.
    """

    @abstractmethod
    def features(self, columns: Tensors) -> Tensors:
        """The network's inputs by name, from the data's own columns."""

    def baseline(self, split: Split) -> Mapping[str, float]:
        """The accuracy of simpler methods, fitted on the training part, by name of the method."""
        return {}

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """The features as they are, and the labels."""
        return {**self.features(train), "label": train["label"]}

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy in nats."""
        from torch.nn import functional

        return functional.cross_entropy(self._logits(module, batch), batch["label"])

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """Accuracy, F1 and confusion on the held-out part."""
        got = self.predict_classes(module, self.features(split.test))
        return classification(split.test["label"], got, self.spec.labels, self.name, self.baseline(split))

    def predict_classes(self, module: nn.Module, inputs: Tensors) -> Array:
        """The likeliest class of each sample, [samples]."""
        import torch

        columns = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in inputs.items()}
        count = len(next(iter(columns.values())))
        with torch.inference_mode():
            parts = [
                self._logits(module, {name: column[first : first + _BATCH] for name, column in columns.items()})
                for first in range(0, count, _BATCH)
            ]
            return torch.cat(parts).argmax(1).numpy()

    def _logits(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        outputs = module(*(batch[tensor.name] for tensor in self.spec.inputs))
        logits: torch.Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
        return logits
