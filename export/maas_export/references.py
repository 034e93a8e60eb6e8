"""The right answer to a request, computed in this process: by torch, by a model's pure functions, or by its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from maas_core.golden import Tensors
from maas_core.spec import graph_inputs, graph_outputs
from maas_export import weights
from maas_export.bundle import ONNX_FILE
from maas_export.bundle_model import BundleModel
from maas_export.catalogue import (
    CatalogueModel,
    EnsembleModel,
    PythonModel,
    Reference,
    TorchModel,
    requirements,
)
from maas_export.imported.runs import PlainSession
from maas_export.sequences import run_sequence

if TYPE_CHECKING:
    from torch import nn


def reference_of(model: CatalogueModel, weights_of: Mapping[str, str | None]) -> Reference | None:
    """The reference of ``model``.

    Args:
        model: the model.
        weights_of: the digests of the torch weights, by name of the network.

    Returns:
        ``None`` where the torch weights are not kept on this machine.
    """
    if isinstance(model, TorchModel):
        sha256 = weights_of.get(model.name)
        stored = weights.by_digest(model.name, sha256) if sha256 else None
        return None if stored is None else torch_reference(model, model.exported(stored.load_into(model.build())))
    if isinstance(model, BundleModel):
        # Verified against torch when it was exported; a module would be built anew for each request.
        return None if model.folder is None else PlainSession((model.folder / ONNX_FILE).read_bytes()).run
    if isinstance(model, PythonModel):
        return _python_reference(model, weights_of)
    if isinstance(model, EnsembleModel):
        return _ensemble_reference(model, weights_of)
    raise TypeError(f"{type(model).__name__} is no kind of model that has a reference")


def torch_reference(model: TorchModel, module: nn.Module) -> Reference:
    """``module`` as a function of arrays; a stateful one runs a sequence from its first step to its last."""
    import torch  # two seconds, which what has no network need not wait for

    inputs_of, outputs_of = graph_inputs(model.spec), graph_outputs(model.spec)

    def step(inputs: Tensors) -> Tensors:
        arguments = [torch.from_numpy(inputs[tensor.name]) for tensor in inputs_of]
        with torch.inference_mode():
            outputs = module(*arguments)
        values = outputs if isinstance(outputs, tuple) else (outputs,)
        return {tensor.name: value.numpy() for tensor, value in zip(outputs_of, values, strict=True)}

    sequence = model.spec.sequence
    return step if sequence is None else lambda inputs: run_sequence(step, inputs, sequence)


def _python_reference(model: PythonModel, weights_of: Mapping[str, str | None]) -> Reference | None:
    calls = _references_behind(model, weights_of)
    return None if calls is None else lambda inputs: model.reference(inputs, calls)


def _ensemble_reference(model: EnsembleModel, weights_of: Mapping[str, str | None]) -> Reference | None:
    steps = _references_behind(model, weights_of)
    return None if steps is None else lambda inputs: model.reference(steps, inputs)


def _references_behind(model: CatalogueModel, weights_of: Mapping[str, str | None]) -> Mapping[str, Reference] | None:
    """The references of all models that ``model`` needs; ``None`` where one has none."""
    found: dict[str, Reference] = {}
    for name in requirements(model):
        reference = reference_of(model.part(name), weights_of)
        if reference is None:
            return None
        found[name] = reference
    return found
