"""A module of whatever signature as one that takes its inputs in order and returns a tuple of tensors."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maas_core.dtypes import TRITON_OF_NUMPY
from maas_core.errors import WrongUse
from maas_core.golden import Tensors

Guard = Callable[[str], AbstractContextManager[None]]
"""Turns whatever a user's code raises into an error of ours; takes what is being done, for the error."""


def parameter_names(module: nn.Module) -> tuple[str, ...]:
    """The names of ``forward``'s parameters that may be given by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, each in inspect.signature(module.forward).parameters.items() if each.kind in kinds)


def named_inputs(module: nn.Module, inputs: Any) -> dict[str, Tensor]:
    """The example by name.

    Raises:
        WrongUse: where it is no example of tensors that Triton could carry.
    """
    if isinstance(inputs, Tensor):
        inputs = (inputs,)
    if isinstance(inputs, Mapping):
        named = dict(inputs)
    elif isinstance(inputs, Sequence) and not isinstance(inputs, str):
        names = parameter_names(module)
        named = {names[at] if at < len(names) else f"input_{at}": value for at, value in enumerate(inputs)}
    else:
        raise WrongUse(f"inputs is {type(inputs).__name__}", "give a dictionary of tensors: {'image': torch.zeros(…)}")
    if not named:
        raise WrongUse("inputs is empty", "give one example: {'image': torch.zeros(2, 3, 32, 32)}")
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise WrongUse(f"input {name!r} is {type(value).__name__}", "give a tensor")
        if value.ndim == 0 or value.numel() == 0:
            raise WrongUse(f"input {name!r} has the shape {list(value.shape)}", "give an example with values in it")
        datatype_of(name, value)
    return {str(name): value.detach().cpu() for name, value in named.items()}


def datatype_of(name: str, value: Tensor) -> str:
    """Triton's name of a tensor's datatype.

    Raises:
        WrongUse: where Triton has none that numpy could carry.
    """
    try:
        return TRITON_OF_NUMPY[value.detach().cpu().numpy().dtype]
    except (TypeError, KeyError, RuntimeError) as error:
        raise WrongUse(f"{name!r} is {value.dtype}, which is not served", "convert it, e.g. with .float()") from error


class Adapter(nn.Module):
    """``module`` with inputs by position and outputs as a tuple.

    Args:
        module: the user's.
        names: of the inputs, in order; given by keyword where ``forward`` has parameters of these names.
    """

    def __init__(self, module: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self._names = tuple(names)
        self._by_keyword = set(names) <= set(inspect.signature(module.forward).parameters)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The inputs in order -> the outputs in order."""
        return tuple(self.named(*inputs).values())

    def named(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The inputs in order -> the outputs by name.

        Raises:
            WrongUse: where the module returns something else than tensors.
        """
        if self._by_keyword:
            return _named_outputs(self.module(**dict(zip(self._names, inputs, strict=True))))
        return _named_outputs(self.module(*inputs))


def _named_outputs(value: Any) -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {"output": value}
    if isinstance(value, Mapping):
        named = {str(name): each for name, each in value.items() if each is not None}
    elif dataclasses.is_dataclass(value):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        named = {name: each for name, each in fields if each is not None}
    elif hasattr(value, "_fields"):
        named = dict(zip(value._fields, value, strict=True))
    elif isinstance(value, tuple | list):
        named = {f"output_{position}": each for position, each in enumerate(value)}
    else:
        raise WrongUse(f"the module returns {type(value).__name__}", "return a tensor, or a tuple or dict of tensors")
    for name, each in named.items():
        if not isinstance(each, Tensor):
            raise WrongUse(
                f"the module returns {type(value).__name__} with {name!r} of type {type(each).__name__}",
                "return tensors only, not nested",
            )
    if not named:
        raise WrongUse(f"the module returns {type(value).__name__} without a tensor", "return at least one")
    return named


class TorchRun:
    """A module as a function of arrays.

    Args:
        adapter: the module.
        inputs: the names of its inputs, in order.
        outputs: other names for its outputs; empty keeps its own.
        guard: what the user's code runs under; it takes what is being done.
    """

    def __init__(
        self,
        adapter: Adapter,
        inputs: Sequence[str],
        outputs: Sequence[str],
        guard: Guard,
    ) -> None:
        self._adapter = adapter
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._guard = guard

    def run(self, inputs: Tensors) -> Tensors:
        """One request's answer, by the names of the outputs.

        Raises:
            WrongUse: where the module raises, or returns what cannot be served.
        """
        given = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self._inputs]
        shapes = ", ".join(f"{name} {list(inputs[name].shape)}" for name in self._inputs)
        with self._guard(f"when it is called with {shapes}"), torch.inference_mode():
            found = self._adapter.named(*given)
        if self._outputs and len(self._outputs) != len(found):
            raise WrongUse(
                f"outputs has {len(self._outputs)} names, the module returns {len(found)}: {', '.join(found)}",
                "name each of them",
            )
        names = self._outputs or tuple(found)
        for name, value in found.items():
            datatype_of(name, value)
        return {name: value.cpu().numpy() for name, value in zip(names, found.values(), strict=True)}
