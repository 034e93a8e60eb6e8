"""What the stages of export ask of a model, and the registry of all models.

A model is one spec plus what only Python can say: the torch module, how its inputs look, how it is trained. A file in
``maas_export.models`` holds one family: a network and the pre- and postprocessing that belong to it.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from maas_export.data.split import Split
    from maas_export.training import Recipe

Reference = Callable[[Tensors], Tensors]
"""Computes the right answer to one request, in this process."""


class CatalogueModel(ABC):
    """One model of the catalogue."""

    spec: ModelSpec
    bundle_format: str

    @abstractmethod
    def sample_inputs(self, rng: np.random.Generator, batch_size: int) -> Tensors:
        """One request of ``batch_size`` samples as callers send it, every array with its batch axis."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.name

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The batch sizes that verification tries: 1, 2, 3 and the largest."""
        largest = max(self.spec.serving.max_batch_size, 1)
        return tuple(sorted({size for size in (1, 2, 3, largest) if size <= largest}))


class TorchModel(CatalogueModel):
    """A network: trained, exported to ONNX and served by the onnxruntime backend."""

    bundle_format = "onnx"
    recipe: Recipe
    borrows: tuple[str, ...] = ()
    """The Python models whose pure functions prepare this network's inputs."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with fresh weights. ``forward`` takes the spec's inputs in order and returns its outputs."""

    @abstractmethod
    def load_data(self, path: Path | None, seed: int) -> Split:
        """The data, split into training and held-out parts by ``seed``; the built-in data where ``path`` is None."""

    @abstractmethod
    def augment(self, inputs: Array, rng: np.random.Generator) -> Array:
        """One epoch's training inputs, from the data's own."""

    @abstractmethod
    def prepare(self, inputs: Array) -> Array:
        """The data's own inputs as the network takes them."""


class PythonModel(CatalogueModel):
    """Pre- or postprocessing on the server: ``server/python_models/NAME/``."""

    bundle_format = "python"

    @abstractmethod
    def reference(self, inputs: Tensors) -> Tensors:
        """The same answer from the model's pure functions, in this process."""

    @property
    def assets(self) -> Mapping[str, str]:
        """Further files of the version folder, as text by name."""
        return {}


class EnsembleModel(CatalogueModel):
    """Several models called as one."""

    bundle_format = "ensemble"

    @abstractmethod
    def reference(self, steps: Mapping[str, Reference], inputs: Tensors) -> Tensors:
        """The right answer, composed of the references of the steps."""


@cache
def all_models() -> Mapping[str, CatalogueModel]:
    """Every model of the catalogue by name."""
    from maas_export import models as package

    found: dict[str, CatalogueModel] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        for model in module.MODELS:
            if model.name in found:
                raise ValueError(f"two models are named {model.name}")
            found[model.name] = model
    return dict(sorted(found.items()))


def model_named(name: str) -> CatalogueModel:
    """The model of that name.

    Raises:
        WrongUse: where the catalogue has none.
    """
    try:
        return all_models()[name]
    except KeyError:
        raise WrongUse(f"there is no model {name!r}", f"the catalogue has {', '.join(all_models())}") from None


def torch_model_named(name: str) -> TorchModel:
    """The network of that name.

    Raises:
        WrongUse: where there is none, or it has no weights of its own.
    """
    model = model_named(name)
    if not isinstance(model, TorchModel):
        networks = ", ".join(other.name for other in all_models().values() if isinstance(other, TorchModel))
        raise WrongUse(f"{name} has no weights to train", f"these have: {networks}")
    return model
