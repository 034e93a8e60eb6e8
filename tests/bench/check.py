"""Correctness before speed: answers equal ONNX Runtime's, also where requests are batched or interleaved."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime as ort

from bench.models import Array, Model
from maas_core.errors import NotHeld

_REQUESTS = 6
_STEPS = 4
_SEQUENCES = 4
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
"""Batches and threads change the order of additions; wrong rows differ by far more."""


def check(model: Model, ask: Callable[..., Array], who: str) -> None:
    """Asks with several different rows at once, or steps of several sequences in turn, and compares every answer.

    Raises:
        NotHeld: an answer differs from ONNX Runtime's.
    """
    random = np.random.default_rng(11)
    if model.stateful:
        _check_sequences(model, ask, who, random)
        return
    rows = [model.draw(random) for _ in range(_REQUESTS)]
    with ThreadPoolExecutor(_REQUESTS) as pool:
        answers = list(pool.map(ask, rows))
    session = _session(model)
    for row, answer in zip(rows, answers, strict=True):
        _compare(session.run([model.output_name], {model.input_name: row})[0], answer, model, who)


def _check_sequences(model: Model, ask: Callable[..., Array], who: str, random: np.random.Generator) -> None:
    session = _session(model)
    state_names = [entry.name for entry in session.get_inputs() if entry.name != model.input_name]
    outputs = [model.output_name, *(name.replace("_in", "_out") for name in state_names)]
    shapes = {entry.name: [1, *entry.shape[1:]] for entry in session.get_inputs()}
    first_id = int(random.integers(1, 2**31))
    states: list[dict[str, Array]] = [
        {name: np.zeros(shapes[name], np.float32) for name in state_names} for _ in range(_SEQUENCES)
    ]
    for step in range(_STEPS):
        for index, state in enumerate(states):
            row = model.draw(random)
            answer = ask(row, first_id + index, first=step == 0, last=step == _STEPS - 1)
            wanted, *carried = session.run(outputs, {model.input_name: row, **state})
            state.update(zip(state_names, carried, strict=True))
            _compare(wanted, answer, model, who)


def _compare(wanted: Array, answer: Array, model: Model, who: str) -> None:
    got = np.asarray(answer).reshape(wanted.shape)
    if not np.allclose(got, wanted, _RELATIVE, _ABSOLUTE):
        difference = float(np.max(np.abs(got - wanted)))
        raise NotHeld(
            f"{who} answers {model.name} wrongly: off by up to {difference:.3g}",
            "a speed of wrong answers means nothing",
        )


@lru_cache(maxsize=1)
def _session(model: Model) -> Any:
    return ort.InferenceSession(model.path, providers=["CPUExecutionProvider"])
