"""The dynamic axes that a user declared, and which sizes of them the module really takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from maas_core.errors import WrongUse
from maas_export.bundle_model import Guess
from maas_export.own.model import OwnModel

BATCH = "batch"

Axes = Mapping[str, Mapping[int, str]]
"""``{input: {axis: name}}``, axes counted from 0."""


def axes_of(own: OwnModel, shapes: Mapping[str, Sequence[int]]) -> tuple[Axes, list[Guess]]:
    """The declared axes, checked against the example.

    Raises:
        WrongUse: where they do not fit it.
    """
    if own.axes is None:
        leading = {shape[0] for shape in shapes.values()}
        if len(leading) > 1:
            raise WrongUse(f"the examples have {sorted(leading)} as their first axis", "declare axes")
        guess = Guess("axes", f"the first of every input is {BATCH}", "none were declared", "axes={…}")
        return {name: {0: BATCH} for name in shapes}, [guess]
    unknown = sorted(set(own.axes) - set(shapes))
    if unknown:
        raise WrongUse(f"axes names {unknown[0]!r}, which is no input", f"the inputs are {', '.join(shapes)}")
    axes = {name: _of_input(name, own.axes.get(name, {}), shape) for name, shape in shapes.items()}
    for axis, sizes in _sizes(axes, shapes).items():
        if len(sizes) > 1:
            raise WrongUse(
                f"axis {axis!r} is {sorted(sizes)} long in the example", "give axes of other sizes two names"
            )
    return axes, []


def _of_input(name: str, declared: Mapping[int, str], shape: Sequence[int]) -> dict[int, str]:
    found = {}
    for position, axis in declared.items():
        if not isinstance(position, int) or not -len(shape) <= position < len(shape):
            raise WrongUse(f"axes of {name!r} names axis {position!r}", f"the example has the shape {list(shape)}")
        if not isinstance(axis, str) or not axis.isidentifier():
            raise WrongUse(f"axis {position} of {name!r} is called {axis!r}", "use letters, digits and '_'")
        found[position % len(shape)] = axis
    return found


def _sizes(axes: Axes, shapes: Mapping[str, Sequence[int]]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for name, named in axes.items():
        for position, axis in named.items():
            found.setdefault(axis, set()).add(shapes[name][position])
    return found


def example_sizes(axes: Axes, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """How long each declared axis is in the example; at least 2, since 1 would be taken for a constant."""
    return {axis: max(2, *sizes) for axis, sizes in _sizes(axes, shapes).items()}


def batch_axis(axes: Axes) -> str | None:
    """The name of the first axis, where it is the same one of every input."""
    names = {named.get(0) for named in axes.values()}
    return names.pop() if len(names) == 1 else None


def places(axis: str, axes: Axes) -> str:
    """Where an axis stands, in words."""
    return ", ".join(
        f"axis {position} of {name}" for name, named in axes.items() for position, each in named.items() if each == axis
    )


def sizes_to_try(
    own: OwnModel, usual: Mapping[str, int], axes: Axes, attempt: Callable[[Mapping[str, int]], None]
) -> dict[str, tuple[int, ...]]:
    """Two sizes or more for each axis, at which the module runs.

    Args:
        own: may say which.
        usual: the sizes of the example, at which it runs.
        axes: where the axes stand.
        attempt: runs the module at these sizes; raises WrongUse where it does not.

    Raises:
        WrongUse: naming the axis that takes no other size.
    """
    unknown = sorted(set(own.sizes) - set(usual))
    if unknown:
        raise WrongUse(f"sizes names {unknown[0]!r}, which is no axis", f"the axes are {', '.join(usual) or 'none'}")
    found = {}
    for axis, size in usual.items():
        said = tuple(own.sizes.get(axis, ()))
        if said:
            if not all(isinstance(each, int) and each >= 0 for each in said):
                raise WrongUse(f"sizes of {axis!r} is {said}", "give whole numbers from 0")
            for each in said:
                attempt({**usual, axis: each})
            found[axis] = said
        else:
            found[axis] = (size, _other(axis, size, usual, axes, attempt))
    return found


def _other(
    axis: str, size: int, usual: Mapping[str, int], axes: Axes, attempt: Callable[[Mapping[str, int]], None]
) -> int:
    first: WrongUse | None = None
    for other in dict.fromkeys((size + 1, size * 2, size // 2, size + 32)):
        if other < 1:
            continue
        try:
            attempt({**usual, axis: other})
        except WrongUse as error:
            first = first or error
        else:
            return other
    reason = first.message.removesuffix(f"; {first.mend}") if first else "it has no other size to try"
    raise WrongUse(
        f"axis {axis!r} ({places(axis, axes)}) was declared dynamic, but only {size} runs: {reason}",
        f"leave it out of axes, or say sizes={{{axis!r}: (…, …)}}",
    )
