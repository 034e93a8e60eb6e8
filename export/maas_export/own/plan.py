"""Everything that a spec of three fields leaves open: found out by running the module, each with its reason."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from maas_core.dtypes import TRITON_OF_NUMPY
from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_core.names import check_model_name
from maas_core.spec import Dim, ModelSpec, Objective, Serving, TensorSpec, Tolerance
from maas_export.bundle_model import USUAL_TOLERANCES, Guess, InputRange
from maas_export.imported.signature import DEFAULT_MAX_BATCH_SIZE, GraphTensor, Signature
from maas_export.imported.trial import Trial, depends_on_its_batch
from maas_export.own.adapter import Adapter, Guard, TorchRun, datatype_of, named_inputs
from maas_export.own.axes import Axes, axes_of, batch_axis, example_sizes, sizes_to_try
from maas_export.own.model import OwnModel

_LEAST_SCALE = 1e-2
"""Small answers are often differences of larger numbers, whose rounding they keep."""
_BAD_IN_NAMES = set("/#: \t\n")


@dataclass(frozen=True)
class Plan:
    """What is served of a user's module, and how.

    Attributes:
        spec: as the catalogue would hold it.
        adapter: the module as it is exported.
        run: the module as a function of arrays.
        example: one request, every dynamic axis at least 2 long.
        ranges: the values of made-up requests, by input.
        sizes: those that verification tries of each dynamic axis but the batch's.
        guesses: what was derived, and why.
    """

    spec: ModelSpec
    adapter: Adapter
    run: TorchRun
    example: Tensors
    ranges: Mapping[str, InputRange]
    sizes: Mapping[str, tuple[int, ...]]
    guesses: tuple[Guess, ...]


def plan_of(own: OwnModel, name: str, said: str, guard: Guard) -> Plan:
    """Runs the module a few times and writes down what is seen.

    Args:
        own: what the user wrote.
        name: of the model, where the spec has none.
        said: how the user named the spec, for the summary.
        guard: what the module runs under.

    Raises:
        WrongUse: where the spec contradicts itself or the module, or the module cannot be served.
    """
    if not isinstance(own.module, nn.Module):
        raise WrongUse(f"module is {type(own.module).__name__}", "give a torch.nn.Module, built")
    guesses = [_name_guess(own, check_model_name(own.name or name)), *_mode_guesses(own.module)]
    own.module.cpu()
    tensors = named_inputs(own.module, own.inputs)
    _check_names(tensors, "input")
    axes, axes_guesses = axes_of(own, {key: tuple(value.shape) for key, value in tensors.items()})
    ranges, range_guesses = _ranges(own, tensors)
    trials = _Trials(own, tensors, axes, ranges, guard)
    trials.check_steady()
    sizes = trials.sizes()
    batch, obstacle = trials.batch(sizes)
    inputs, outputs = trials.tensors(sizes, batch)
    largest = DEFAULT_MAX_BATCH_SIZE if own.max_batch_size is None else own.max_batch_size
    if batch is None and own.max_batch_size:
        raise WrongUse(f"max_batch_size is {own.max_batch_size}, but the model cannot be batched: {obstacle}", "say 0")
    labelled, label_guess = _labelled(own, outputs)
    tolerances, tolerance_guess = _tolerances(own, trials.answer)
    spec = ModelSpec(
        name=own.name or name,
        task=own.task,
        summary=own.summary or _summary(own.module, said),
        backend="onnxruntime",
        inputs=inputs,
        outputs=labelled,
        serving=Serving(largest if batch else 0, instances=own.instances, intra_op_threads=own.threads),
        tolerances=tolerances,
        objective=Objective(p99_ms=own.p99_ms),
    )
    tensor_guesses = [
        *(_tensor_guess("input", each, batch) for each in inputs),
        *(_tensor_guess("output", each, batch) for each in labelled),
    ]
    return Plan(
        spec=spec,
        adapter=trials.adapter,
        run=trials.torch,
        example=trials.example,
        ranges=ranges,
        sizes={axis: among for axis, among in sizes.items() if axis != batch},
        guesses=(
            *guesses,
            *tensor_guesses,
            *axes_guesses,
            _batch_guess(own, spec, obstacle),
            *(_size_guess(own, axis, among) for axis, among in sizes.items() if axis != batch),
            *range_guesses,
            *label_guess,
            tolerance_guess,
        ),
    )


class _Trials:
    """The module, run at several sizes."""

    def __init__(
        self, own: OwnModel, tensors: Mapping[str, Tensor], axes: Axes, ranges: Mapping[str, InputRange], guard: Guard
    ) -> None:
        self._own, self._axes = own, axes
        self.adapter = Adapter(own.module, list(tensors)).eval()
        self.torch = TorchRun(self.adapter, list(tensors), own.outputs, guard)
        self._usual = example_sizes(axes, {name: tuple(value.shape) for name, value in tensors.items()})
        self.example = {name: _long_enough(value.numpy(), axes[name], self._usual) for name, value in tensors.items()}
        self._tensors = {
            name: GraphTensor(name, datatype_of(name, value), _dims(value.shape, axes[name]))
            for name, value in tensors.items()
        }
        self._ranges = ranges
        # Without a batch axis: the first axis is one of several, which have their sizes by name.
        self._trial = Trial(self.torch, Signature(tuple(self._tensors.values()), (), 0), ranges)
        self.answer = self.torch.run(self.example)

    def check_steady(self) -> None:
        """Makes sure of usable answers: finite, and the same to the same request."""
        _check_names(self.answer, "output")
        both = sorted(set(self.answer) & set(self._tensors))
        if both:
            raise WrongUse(f"input and output are both called {both[0]!r}", "give outputs=(…) other names")
        for name, value in self.answer.items():
            if value.ndim == 0:
                raise WrongUse(f"output {name!r} is a scalar", "return it with an axis: value.reshape(1)")
        check_finite(self.answer, "the example")
        again = self.torch.run(self.example)
        for name, value in self.answer.items():
            if not np.array_equal(value, again[name]):
                raise WrongUse(
                    f"output {name!r} differs from one run to the next with the same inputs",
                    "take what is random out of forward()",
                )

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """See :func:`maas_export.own.axes.sizes_to_try`."""
        return sizes_to_try(
            self._own, self._usual, self._axes, lambda sizes: check_finite(self._at(sizes), "a request")
        )

    def batch(self, sizes: Mapping[str, Sequence[int]]) -> tuple[str | None, str]:
        """The axis that counts samples, or why there is none."""
        if self._own.max_batch_size == 0:
            return None, "you said so"
        axis = batch_axis(self._axes)
        if axis is None:
            return None, "the first axes of the inputs are not all declared under one name"
        low = [name for name, value in {**self.example, **self.answer}.items() if value.ndim == 1]
        if low:
            return None, f"{low[0]!r} has no axis beside the first, which Triton cannot write down for batches"
        three = self._trial.inputs(0, {**{other: among[0] for other, among in sizes.items()}, axis: 3})
        reason = depends_on_its_batch(self.torch, three)
        return (None, reason) if reason else (axis, "")

    def tensors(
        self, sizes: Mapping[str, Sequence[int]], batch: str | None
    ) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs; an axis of an output is dynamic where its size changes with one of the inputs'."""
        lead = int(batch is not None)
        changing: dict[str, dict[int, str]] = {name: {} for name in self.answer}
        for axis, among in sizes.items():
            other = next((size for size in among if size != self._usual[axis]), among[0])
            seen = self._at({**self._usual, axis: other})
            for name, value in self.answer.items():
                for position, (one, two) in enumerate(zip(value.shape, seen[name].shape, strict=True)):
                    if one != two:
                        plain = one == self._usual[axis] and two == other
                        changing[name][position] = axis if plain else f"{name}_{position}"
        inputs = tuple(
            TensorSpec(each.name, each.datatype, each.dims[lead:], "as the module takes it")
            for each in self._tensors.values()
        )
        outputs = tuple(
            TensorSpec(
                name,
                TRITON_OF_NUMPY[value.dtype],
                _dims(value.shape, changing[name])[lead:],
                "as the module returns it",
            )
            for name, value in self.answer.items()
        )
        return inputs, outputs

    def _at(self, sizes: Mapping[str, int]) -> Tensors:
        found = self.torch.run(self._trial.inputs(0, sizes))
        for name, value in self.answer.items():
            if name not in found or found[name].ndim != value.ndim:
                raise WrongUse(
                    f"output {name!r} has other axes when the inputs have other sizes", "return the same ones"
                )
        return found


def check_finite(answer: Tensors, asked: str) -> None:
    """Refuses NaN and infinity, which no later stage could be held to.

    Raises:
        WrongUse: naming the output.
    """
    for name, value in answer.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            what = "NaN" if np.isnan(value).any() else "infinity"
            raise WrongUse(
                f"output {name!r} holds {what} when the module is asked {asked}",
                "give an example or ranges={…} of values that it is made for",
            )


def _dims(shape: Sequence[int], named: Mapping[int, str]) -> tuple[Dim, ...]:
    return tuple(named.get(position, int(size)) for position, size in enumerate(shape))


def _long_enough(value: Array, named: Mapping[int, str], sizes: Mapping[str, int]) -> Array:
    """The example, with dynamic axes of size 1 repeated."""
    for position, axis in named.items():
        if value.shape[position] < sizes[axis]:
            value = np.repeat(value, sizes[axis], axis=position)
    return np.ascontiguousarray(value)


def _check_names(named: Mapping[str, object], side: str) -> None:
    for name in named:
        if not name or _BAD_IN_NAMES & set(name):
            raise WrongUse(f"{name!r} cannot be the name of an {side}", "use letters, digits and '_'")


def _ranges(own: OwnModel, tensors: Mapping[str, Tensor]) -> tuple[dict[str, InputRange], list[Guess]]:
    unknown = sorted(set(own.ranges) - set(tensors))
    if unknown:
        raise WrongUse(f"ranges names {unknown[0]!r}, which is no input", f"the inputs are {', '.join(tensors)}")
    found, guesses = {}, []
    for name, value in tensors.items():
        found[name], text, reason = _range(name, value.numpy(), own.ranges.get(name))
        guesses.append(Guess(f"values of {name}", text, reason, f"ranges={{{name!r}: (least, most)}}"))
    return found, guesses


def _range(name: str, example: Array, said: tuple[float, float] | None) -> tuple[InputRange, str, str]:
    if example.dtype.kind == "b":
        return InputRange("booleans"), "true and false", "it is BOOL"
    if said is not None:
        least, most = said
        if not (math.isfinite(least) and math.isfinite(most) and least <= most):
            raise WrongUse(f"ranges of {name!r} is {said}", "give the least and the largest value")
    if example.dtype.kind in "iu":
        least, most = (int(example.min()), int(example.max())) if said is None else (int(said[0]), int(said[1]))
        reason = "the example's are" if said is None else "you said so"
        return InputRange("integers", least, most + 1), f"{least} to {most}", reason
    if said is not None:
        return InputRange("uniform", least=said[0], most=said[1]), f"{said[0]:g} to {said[1]:g}", "you said so"
    values = example.astype(np.float64)
    if not np.isfinite(values).all():
        raise WrongUse(f"the example of {name!r} holds NaN or infinity", "give values that the module is made for")
    mean, deviation = float(values.mean()), float(values.std())
    if deviation == 0:
        reason = "the example is the same everywhere, so it does not say how its values are spread"
        return InputRange("normal"), "random, mean 0 and deviation 1", reason
    text = f"random, mean {mean:.3g} and deviation {deviation:.3g}"
    return InputRange("normal", mean=mean, deviation=deviation), text, "the example's are"


def _labelled(own: OwnModel, outputs: tuple[TensorSpec, ...]) -> tuple[tuple[TensorSpec, ...], list[Guess]]:
    if not own.labels:
        return outputs, []
    labels = tuple(str(label) for label in own.labels)
    name = next((each.name for each in outputs if each.dims and each.dims[-1] == len(labels)), None)
    if name is None:
        ends = ", ".join(f"{each.name} has {each.dims[-1] if each.dims else 'none'}" for each in outputs)
        raise WrongUse(f"there are {len(labels)} labels", f"the last axis of an output must be as long: {ends}")
    kept = tuple(
        TensorSpec(each.name, each.datatype, each.dims, each.description, labels=labels) if each.name == name else each
        for each in outputs
    )
    return kept, [Guess("labels", f"of {name}", "its last axis is as long", "labels=(…)")]


def _tolerances(own: OwnModel, answer: Tensors) -> tuple[dict[str, Tolerance], Guess]:
    """The usual ones; where all answers are small numbers, the absolute one is smaller by as much."""
    largest = max(
        (float(np.abs(value).max()) for value in answer.values() if value.dtype.kind == "f" and value.size), default=1.0
    )
    scale = min(1.0, max(_LEAST_SCALE, 10.0 ** math.floor(math.log10(largest)))) if largest > 0 else 1.0
    said = own.tolerance
    found = {
        datatype: Tolerance(usual * scale, usual) if said is None or datatype != "FP32" else Tolerance(said, said)
        for datatype, usual in USUAL_TOLERANCES.items()
    }
    fp32 = found["FP32"]
    if said is not None:
        reason = "you said so"
    elif scale < 1:
        reason = f"two libraries add in another order; the example's answers are no larger than {largest:.2g}"
    else:
        reason = "so far do two libraries differ that add in another order"
    value = f"{fp32.absolute:g} absolute, {fp32.relative:g} relative (FP32); integers exactly"
    return found, Guess("tolerance", value, reason, "tolerance=X")


def _name_guess(own: OwnModel, name: str) -> Guess:
    return Guess("name", name, "you said so" if own.name else "it is what the file or the spec is called", "name=…")


def _mode_guesses(module: nn.Module) -> list[Guess]:
    if not any(part.training for part in module.modules()):
        return []
    return [Guess("mode", "evaluation", "the module was in training mode, so eval() was called")]


def _summary(module: nn.Module, said: str) -> str:
    words = type(module).__dict__.get("__doc__") or ""
    first = inspect.cleandoc(words).partition("\n")[0].strip()
    return first or f"{type(module).__name__} of {said}"


def _tensor_guess(side: str, tensor: TensorSpec, batch: str | None) -> Guess:
    dims = ", ".join(str(dim) for dim in ([batch, *tensor.dims] if batch else tensor.dims))
    seen = "the example is" if side == "input" else "the module returns it so at several sizes"
    return Guess(f"{side} {tensor.name}", f"{tensor.datatype} [{dims}]", seen)


def _batch_guess(own: OwnModel, spec: ModelSpec, obstacle: str) -> Guess:
    size = spec.serving.max_batch_size
    if not size:
        return Guess("max_batch_size", "0: requests are not joined", obstacle, "max_batch_size=N")
    reason = "three samples together answer as each alone; `maas tune` measures what is best"
    return Guess(
        "max_batch_size", str(size), reason if own.max_batch_size is None else "you said so", "max_batch_size=N"
    )


def _size_guess(own: OwnModel, axis: str, among: Sequence[int]) -> Guess:
    reason = "you said so" if axis in own.sizes else "the module runs with them"
    tried = " and ".join(str(size) for size in among)
    return Guess(f"axis {axis}", f"any size; tried with {tried}", reason, f"sizes={{{axis!r}: (…, …)}}")
