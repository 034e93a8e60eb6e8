"""Running a stateful model step by step in this process, as the server does: what a step returns, the next one gets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maas_core.dtypes import NUMPY_OF
from maas_core.golden import Array, Tensors
from maas_core.spec import SequenceBatching

Step = Callable[[Tensors], Tensors]
"""Inputs and states in, outputs and next states out; all with a batch axis."""


def run_sequence(step: Step, inputs: Tensors, sequence: SequenceBatching, *, company: int = 0) -> Tensors:
    """Runs one sequence from its first step to its last.

    Args:
        step: one step of the model.
        inputs: the sequence; the first axis counts its steps.
        sequence: which states are carried.
        company: so many further sequences run in the same batches: the same steps, begun later. Their answers are
            dropped; they prove that the batch axis keeps sequences apart.

    Returns:
        the outputs of all steps; the first axis counts them.
    """
    rows = company + 1
    kept: dict[str, Array] = {
        state.input: np.zeros((rows, *state.dims), NUMPY_OF[state.datatype]) for state in sequence.states
    }
    answers: list[dict[str, Array]] = []
    for position in range(step_count(inputs)):
        now = {
            name: np.resize(np.roll(value, -position, axis=0), (rows, *value.shape[1:]))
            for name, value in inputs.items()
        }
        outputs = dict(step({**now, **kept}))
        kept = {state.input: outputs.pop(state.output) for state in sequence.states}
        answers.append({name: value[:1] for name, value in outputs.items()})
    return joined(answers)


def step_count(inputs: Tensors) -> int:
    """How many steps a sequence has."""
    return len(next(iter(inputs.values())))


def joined(answers: list[dict[str, Array]]) -> Tensors:
    """Several answers as one, along the first axis; an output that one of them lacks is an error of the model.

    Raises:
        KeyError: the answers have different outputs.
    """
    return {name: np.concatenate([answer[name] for answer in answers]) for name in (answers[0] if answers else ())}
