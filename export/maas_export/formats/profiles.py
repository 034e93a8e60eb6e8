"""Optimization profiles: the shapes that a TensorRT engine takes, from the batch size and the dynamic axes of the spec.

Source: TensorRT developer guide, "Working with Dynamic Shapes": min <= opt <= max on every axis, equal on fixed ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Tensors
from maas_core.manifest import ShapeRange
from maas_core.spec import AxisSizes, Dim, ModelSpec, graph_inputs
from maas_export.catalogue import CatalogueModel

_DRAWS = 32
_USUAL_SHARE = 4
"""Batches are rarely full: the engine is tuned for a quarter of the largest."""

Profile = Mapping[str, ShapeRange]


def profile_of(model: CatalogueModel) -> Profile:
    """The shapes of every input of the network, by name.

    Raises:
        WrongUse: where the spec's sizes of an axis do not rise, or no sample has an axis that it leaves open.
    """
    spec = model.spec
    sizes = {**_seen_sizes(model), **spec.axes}
    for name, size in sizes.items():
        if not 0 <= size.min <= size.opt <= size.max:
            raise WrongUse(
                f"axis {name} of {model.name} is {size.min} to {size.max}, usually {size.opt}", "min <= opt <= max"
            )
    largest = spec.serving.max_batch_size
    batch = (AxisSizes(1, max(largest // _USUAL_SHARE, 1), largest),) if largest else ()
    found = {}
    for tensor in graph_inputs(spec):
        axes = (*batch, *(_axis(dim, sizes, model.name) for dim in tensor.dims))
        found[tensor.name] = ShapeRange(
            min=tuple(axis.min for axis in axes),
            opt=tuple(axis.opt for axis in axes),
            max=tuple(axis.max for axis in axes),
        )
    return found


def check_fits(profile: Profile, inputs: Tensors) -> None:
    """Passes inputs whose shapes lie within the profile.

    Raises:
        WrongUse: naming the first that does not.
    """
    for name, shapes in profile.items():
        shape = inputs[name].shape
        inside = len(shape) == len(shapes.min) and all(
            low <= size <= high for low, size, high in zip(shapes.min, shape, shapes.max, strict=True)
        )
        if not inside:
            raise WrongUse(
                f"{name} is {list(shape)}, outside the profile {list(shapes.min)} to {list(shapes.max)}",
                "widen `axes` in the model's spec",
            )


def _axis(dim: Dim, sizes: Mapping[str, AxisSizes], model: str) -> AxisSizes:
    if isinstance(dim, int):
        return AxisSizes(dim, dim, dim)
    if dim not in sizes:
        raise WrongUse(f"how long axis {dim} of {model} is, no sample tells", "state it in `axes` of the model's spec")
    return sizes[dim]


def _seen_sizes(model: CatalogueModel) -> dict[str, AxisSizes]:
    """The sizes of the dynamic axes over a number of seeded samples."""
    dynamic = _dynamic_axes(model.spec)
    if not set(dynamic.values()) - set(model.spec.axes):
        return {}
    rng = np.random.default_rng(0)
    seen: dict[str, list[int]] = {}
    for _ in range(_DRAWS):
        sample = model.sample_inputs(rng, 1)
        for (tensor, axis), name in dynamic.items():
            if tensor in sample:
                seen.setdefault(name, []).append(sample[tensor].shape[axis])
    return {name: AxisSizes(min(found), int(np.median(found)), max(found)) for name, found in seen.items()}


def _dynamic_axes(spec: ModelSpec) -> dict[tuple[str, int], str]:
    """The names of the dynamic axes by input and position."""
    offset = 1 if spec.serving.max_batch_size else 0
    return {
        (tensor.name, position + offset): dim
        for tensor in graph_inputs(spec)
        for position, dim in enumerate(tensor.dims)
        if isinstance(dim, str)
    }
