"""What the stages of export ask of a model, and the registry of all models.

A model is one spec plus what only Python can say: the torch module, how its inputs look, how it is trained. A file in
``maas_export.models`` holds one family: a network and the pre- and postprocessing that belong to it.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Tensors
from maas_core.spec import ModelSpec
from maas_export.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from maas_export.data.split import Split
    from maas_export.evaluation import Evaluation

Reference = Callable[[Tensors], Tensors]
"""Computes the right answer to one request, in this process."""


@dataclass(frozen=True)
class Card:
    """What a model card says that no machine can measure.

    Attributes:
        architecture: the layers, in one sentence.
        data: what it was trained on.
        licence: of the data, and of weights that come from outside.
        intended_use: what it is good for.
        limits: what it must not be trusted with.
    """

    architecture: str
    data: str
    licence: str
    intended_use: str
    limits: str


class CatalogueModel(ABC):
    """One model of the catalogue.

    Attributes:
        card: ``None`` for pre- and postprocessing, which their ensemble's card describes.
        example: one call as a person makes it, by name of the input: a file under ``examples/``, a text, a number or
            nested lists; empty for a model that only other models call.
    """

    spec: ModelSpec
    bundle_format: str
    card: Card | None = None
    example: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """One request of ``size`` samples as callers send it, every array with its batch axis.

        A stateful model gets one sequence of ``size`` steps: the first axis counts them.
        """

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.name

    def part(self, name: str) -> CatalogueModel:
        """A model that this one needs, by name: of the catalogue, unless the model brings its own parts."""
        return model_named(name)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The sizes that verification tries: 1, 2, 3 and the largest."""
        largest = max(self.spec.serving.max_batch_size, 1)
        return tuple(sorted({size for size in (1, 2, 3, largest) if size <= largest}))


class TorchModel(CatalogueModel):
    """A network: trained, exported to ONNX and served by the onnxruntime backend."""

    bundle_format = "onnx"
    recipe: Recipe
    borrows: tuple[str, ...] = ()
    """The Python models whose pure functions prepare this network's inputs."""
    int8_allowed_drop: float = 0.5
    """By how much 8-bit numbers may spoil the task's measure: in points (hundredths) of one that should be high, in per
    cent of one that should be low."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with fresh weights."""

    def exported(self, module: nn.Module) -> nn.Module:
        """What of it is served: ``forward`` takes the spec's inputs in order and returns its outputs in order.

        A stateful model's ``forward`` takes the states after the inputs, and returns the next ones after the outputs.
        """
        return module

    @abstractmethod
    def load_data(self, path: Path | None, seed: int) -> Split:
        """The data, split into training and held-out parts by ``seed``; the built-in data where ``path`` is None."""

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """What one epoch trains on, from the training part of the data: augmented, or freshly composed."""
        return train

    @abstractmethod
    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The mean loss of ``module`` on one batch of what :meth:`epoch_data` gave."""

    @abstractmethod
    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """What ``module`` is worth on the held-out part; baselines may be fitted on the training part."""

    def evaluate_exported(self, module: nn.Module, split: Split) -> Evaluation:
        """The same of what is served, whose ``forward`` is that of :meth:`exported`.

        Raises:
            WrongUse: where that is another module, and the model does not say how to judge it.
        """
        if type(self).exported is not TorchModel.exported:
            raise WrongUse(
                f"what is served of {self.name} is not the module that its measure is taken of",
                "serve the format onnx, or write evaluate_exported()",
            )
        return self.evaluate(module, split)

    def calibration_inputs(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """The network's inputs by name, from training data, to take the ranges of its values from."""
        return self.epoch_data(train, rng)


class PretrainedModel(TorchModel):
    """A network whose weights come with a package, pinned by digest; ``maas train`` fetches and evaluates them."""

    recipe = Recipe(epochs=0, batch_size=1, learning_rate=0.0)

    @abstractmethod
    def fetch(self) -> nn.Module:
        """The network with the package's weights.

        Raises:
            MaasError: where the package is missing, or its weights are not the pinned ones.
        """

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """There is none.

        Raises:
            WrongUse: always.
        """
        raise WrongUse(f"{self.name} is not trained here", f"run `maas train {self.name}` without --from-version")


class PythonModel(CatalogueModel):
    """A model in Python on the server."""

    bundle_format = "python"

    @property
    def source(self) -> str:
        """The folder of its code in ``server/python_models/``; several models may be made of the same code."""
        return self.name

    @abstractmethod
    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The same answer from the model's pure functions, in this process; of a stream all answers, joined.

        Args:
            inputs: one request.
            calls: the references of the models that it asks.
        """

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """Further files of the version folder, by name."""
        return {}


class EnsembleModel(CatalogueModel):
    """Several models called as one; its steps stand in the order in which they run."""

    bundle_format = "ensemble"

    def reference(self, steps: Mapping[str, Reference], inputs: Tensors) -> Tensors:
        """The references of the steps, one after the other, tensors handed on as the spec says."""
        known = dict(inputs)
        for step in self.spec.steps:
            answer = steps[step.model]({own: known[name] for own, name in step.inputs.items()})
            known |= {name: answer[own] for own, name in step.outputs.items()}
        return {tensor.name: known[tensor.name] for tensor in self.spec.outputs}


def requirements(model: CatalogueModel) -> tuple[str, ...]:
    """The models that must be served for ``model`` to answer: an ensemble's steps, what a Python model asks."""
    return (*model.spec.calls, *(step.model for step in model.spec.steps))


def in_order(names: Iterable[str]) -> list[str]:
    """The names, each after those of the same list that it requires.

    Raises:
        WrongUse: where the catalogue has no such model.
    """
    wanted = list(dict.fromkeys(names))
    graph = {name: [part for part in requirements(model_named(name)) if part in wanted] for name in wanted}
    return list(TopologicalSorter(graph).static_order())


def is_stateful(model: CatalogueModel) -> bool:
    """Whether the requests of one caller belong together: the model, or a step of it, keeps a state."""
    return model.spec.sequence is not None or any(is_stateful(model.part(step.model)) for step in model.spec.steps)


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
