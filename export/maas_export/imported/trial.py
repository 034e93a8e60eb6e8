"""Trying a graph out: which sizes its dynamic axes take, whether rows of a batch are independent, what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np

from maas_core.compare import compare
from maas_core.dtypes import NUMPY_OF
from maas_core.errors import WrongUse
from maas_core.golden import Array, Sample, Tensors
from maas_core.spec import TensorSpec, Tolerance
from maas_export.bundle_model import Guess, InputRange, made_up
from maas_export.imported.plan import Wishes
from maas_export.imported.runs import RunFailed
from maas_export.imported.signature import Signature

_SIZE_PAIRS = ((5, 8), (16, 24), (32, 64), (64, 96), (224, 256))
"""Texts take any of these, pictures multiples of what they are scaled down by."""
_LARGEST_INPUT_BYTES = 2**30
_SAME_ROWS = {"FP32": Tolerance(1e-4, 1e-4), "FP16": Tolerance(1e-2, 1e-2), "FP64": Tolerance(1e-6, 1e-6)}


class Runs(Protocol):
    """Whatever answers requests."""

    def run(self, inputs: Tensors) -> Tensors:
        """One request's answer."""
        ...


class Trial:
    """One graph, tried with made-up inputs.

    Args:
        session: the graph, or the module that becomes one.
        signature: what it takes and gives.
        ranges: the values of its inputs.
    """

    def __init__(self, session: Runs, signature: Signature, ranges: Mapping[str, InputRange]) -> None:
        self._session = session
        self.signature = signature
        self.ranges = dict(ranges)
        self._rng = np.random.default_rng(0)

    def inputs(self, batch: int, sizes: Mapping[str, int]) -> Tensors:
        """A made-up request.

        Raises:
            WrongUse: where it would be larger than a gigabyte.
        """
        made: dict[str, Array] = {}
        for tensor in self.signature.inputs:
            shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in tensor.dims[self._lead :])
            shape = (batch, *shape) if self._lead else shape
            size = int(np.prod([float(dim) for dim in shape])) * np.dtype(NUMPY_OF[tensor.datatype]).itemsize
            if size > _LARGEST_INPUT_BYTES:
                raise WrongUse(
                    f"input {tensor.name!r} of shape {list(shape)} has {size / 2**30:.0f} GiB", "export less"
                )
            made[tensor.name] = made_up(_spec(tensor.name, tensor.datatype), self.ranges[tensor.name], shape, self._rng)
        return made

    def run(self, inputs: Tensors) -> Tensors:
        """The answer; see :meth:`PlainSession.run`."""
        return self._session.run(inputs)

    @property
    def _lead(self) -> int:
        return int(self.signature.is_batched)


def find_sizes(trial: Trial, wishes: Wishes) -> tuple[dict[str, tuple[int, ...]], list[Guess]]:
    """The sizes with which each dynamic axis runs; one with a single size shall be fixed.

    Raises:
        WrongUse: where the graph runs with none.
    """
    axes = trial.signature.dynamic_axes
    unknown = sorted(set(wishes.sizes) - set(axes))
    if unknown:
        raise WrongUse(f"no input has a dynamic axis {unknown[0]!r}", f"it has {', '.join(axes) or 'none'}")
    free = [axis for axis in axes if axis not in wishes.sizes]
    tried = list(_SIZE_PAIRS if free else [(1, 1)])
    last = ""
    for pair in tried:
        sizes = {axis: wishes.sizes.get(axis, pair) for axis in axes}
        failure = _fails(trial, sizes)
        if not failure:
            return sizes, _size_guesses(sizes, wishes, free)
        last = failure
    fixed = _one_size(trial, wishes, axes, free)
    if fixed is not None:
        return fixed, _size_guesses(fixed, wishes, free)
    raise WrongUse(
        f"the model runs with none of the sizes that were tried: {last}",
        "give some with --size AXIS=SIZE,SIZE, and real values with --sample-inputs",
    )


def _fails(trial: Trial, sizes: Mapping[str, Sequence[int]]) -> str:
    """Why it does not run at the smallest sizes, the largest, or at a mixture; empty where it does."""
    names = list(sizes)
    corners = {tuple(min(sizes[name]) for name in names), tuple(max(sizes[name]) for name in names)}
    corners |= set(list(product(*(sorted(set(sizes[name])) for name in names)))[:8])
    for corner in sorted(corners):
        for batch in (1, 2) if trial.signature.is_batched else (1,):
            try:
                trial.run(trial.inputs(batch, dict(zip(names, corner, strict=True))))
            except RunFailed as error:
                return str(error)
    return ""


def _one_size(
    trial: Trial, wishes: Wishes, axes: Sequence[str], free: Sequence[str]
) -> dict[str, tuple[int, ...]] | None:
    """Sizes at which all axes that nobody spoke of run when they are all the same, and fixed."""
    if not free:
        return None
    for size in sorted({size for pair in _SIZE_PAIRS for size in pair}):
        sizes = {axis: wishes.sizes.get(axis, (size,)) for axis in axes}
        if not _fails(trial, sizes):
            return sizes
    return None


def _size_guesses(sizes: Mapping[str, Sequence[int]], wishes: Wishes, free: Sequence[str]) -> list[Guess]:
    guesses = []
    for axis, among in sizes.items():
        value = f"fixed at {among[0]}" if len(set(among)) == 1 else f"any size; tried with {among[0]} and {among[-1]}"
        if axis not in free:
            reason = "you said so"
        elif len(set(among)) == 1:
            reason = "the graph calls it dynamic, but runs with no two sizes that were tried"
        else:
            reason = "the graph runs with both"
        guesses.append(Guess(f"axis {axis}", value, reason, f"--size {axis}=SIZE,SIZE"))
    return guesses


def settle_values(trial: Trial, sizes: Mapping[str, Sequence[int]]) -> list[Guess]:
    """Makes sure that made-up requests get finite answers: where they do not, floats are taken from 0 to 1."""
    smallest = {axis: min(among) for axis, among in sizes.items()}
    if _is_finite(_answer(trial, trial.inputs(1, smallest))):
        return []
    trial.ranges = {
        name: replace(among, kind="uniform") if among.kind == "normal" else among
        for name, among in trial.ranges.items()
    }
    reason = "with negative ones the graph answers NaN or infinity"
    return [Guess("values of floats", "random, 0 to 1", reason, "--sample-inputs FILE.npz")]


def check_steady(trial: Trial, inputs: Tensors) -> None:
    """Makes sure that a request gets a finite answer, and the same one again.

    Raises:
        WrongUse: where it does not.
    """
    answer = _answer(trial, inputs)
    if not _is_finite(answer):
        raise WrongUse("the model answers NaN or infinity", "give real inputs with --sample-inputs")
    again = _answer(trial, inputs)
    if any(not np.array_equal(answer[name], again[name]) for name in answer):
        raise WrongUse(
            "the model answers the same request differently each time",
            "export it in inference mode (eval()), without random operators",
        )


def depends_on_its_batch(trial: Runs, three: Tensors) -> str:
    """Why the first axis is no batch axis after all; empty where three samples answer as each does alone."""
    together = _answer(trial, three)
    for name, value in together.items():
        if value.shape[:1] != (3,):
            return f"three samples give {name!r} the shape {list(value.shape)}"
    for row in range(3):
        alone = _answer(trial, {name: value[row : row + 1] for name, value in three.items()})
        mine = {name: value[row : row + 1] for name, value in together.items()}
        if any(not result.passed for result in compare(mine, alone, _SAME_ROWS)):
            return "a sample's answer depends on the others of its batch"
    return ""


def given_samples(path: Path, signature: Signature) -> Tensors:
    """A person's own inputs from an ``.npz`` file; in a batched model the first axis counts samples.

    Raises:
        WrongUse: where the file does not hold what the model takes.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError) as error:
        raise WrongUse(f"{path} cannot be read: {error}", "save plain arrays with numpy.savez") from error
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    if set(arrays) != set(wanted):
        raise WrongUse(f"{path} holds {', '.join(sorted(arrays))}", f"the model takes {', '.join(sorted(wanted))}")
    for name, tensor in wanted.items():
        if tensor.datatype == "BYTES":
            arrays[name] = np.array(
                [str(item).encode() for item in arrays[name].reshape(-1)], dtype=np.object_
            ).reshape(arrays[name].shape)
        elif arrays[name].dtype != np.dtype(NUMPY_OF[tensor.datatype]):
            raise WrongUse(f"{name!r} of {path} is {arrays[name].dtype}", f"the model takes {tensor.datatype}")
        if arrays[name].ndim != len(tensor.dims):
            raise WrongUse(f"{name!r} of {path} has {arrays[name].ndim} axes", f"the model takes {len(tensor.dims)}")
    if not signature.is_batched:
        return arrays
    counts = {len(value) for value in arrays.values()}
    if len(counts) > 1 or 0 in counts:
        raise WrongUse(f"the arrays of {path} have {sorted(counts)} samples", "give each as many, and at least one")
    return arrays


def answered(trial: Trial, name: str, inputs: Tensors) -> Sample:
    """A sample with its right answer.

    Raises:
        WrongUse: where there is none.
    """
    outputs = _answer(trial, inputs)
    if not _is_finite(outputs):
        raise WrongUse("the model answers NaN or infinity", "give real inputs with --sample-inputs")
    return Sample(name, inputs, outputs)


def _answer(trial: Runs, inputs: Tensors) -> Tensors:
    try:
        return trial.run(inputs)
    except RunFailed as error:
        raise WrongUse(f"the model does not run: {error}", "give real inputs with --sample-inputs") from error


def _is_finite(outputs: Tensors) -> bool:
    return all(
        bool(np.isfinite(value.astype(np.float64)).all()) for value in outputs.values() if value.dtype.kind == "f"
    )


def _spec(name: str, datatype: str) -> TensorSpec:
    return TensorSpec(name, datatype, (), "")
