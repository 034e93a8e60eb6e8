"""Measuring a model as it is served: labelled cases as callers send them, and what the answers are worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_core.golden import Tensors
from maas_export.evaluation import Evaluation

Answer = Tensors | str
"""The outputs, or the error that came instead."""


@dataclass(frozen=True)
class Case:
    """One labelled request.

    Attributes:
        shown: what a person knows it by: a file's name, a text.
        inputs: with their batch axis; for a stateful model the first axis counts the steps of one sequence.
        wanted: the right answer, in the model's own terms.
    """

    shown: str
    inputs: Tensors
    wanted: Any


@dataclass(frozen=True)
class Verdict:
    """What one answer was worth.

    Attributes:
        badness: 0 where it is right; the larger, the worse.
        wanted: the right answer in words.
        got: the answer in words.
    """

    badness: float
    wanted: str
    got: str


class Judged(ABC):
    """A model that knows labelled cases and what its answers are worth; mixed into a catalogue model."""

    @abstractmethod
    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Labelled cases of the user, or where ``path`` is None the held-out part of the built-in data.

        Raises:
            WrongUse: naming file, line and what is wrong with it.
        """

    @abstractmethod
    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """The measure of the task over all answers, and a verdict on each; an error counts as a wrong answer."""
