"""From values to places on a chart, and which of them get a mark."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Words = Callable[[float], str]
_STEPS = (1, 2, 2.5, 5, 10)
_LOG_SPREAD = 25.0
"""A chart whose largest value is so many times its smallest gets a logarithmic axis: else the small ones are a line."""


@dataclass(frozen=True)
class Scale:
    """One axis.

    Attributes:
        low: the value at its beginning.
        high: the value at its end, more than ``low``.
        logarithmic: then ``low`` is more than 0.
        words: a value as text, at its mark.
        marks: places of marks; chosen where none are given.
        label: what is shown, with its unit.
    """

    low: float
    high: float
    words: Words
    label: str = ""
    logarithmic: bool = False
    marks: tuple[tuple[float, str], ...] = ()

    def place(self, value: float) -> float:
        """0 at the beginning, 1 at the end; values beyond the axis lie on its edge."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most about so many marks, with their words."""
        if self.marks:
            return [mark for mark in self.marks if self.low <= mark[0] <= self.high]
        values = _log_ticks(self.low, self.high, most) if self.logarithmic else _linear_ticks(self.low, self.high, most)
        return [(value, self.words(value)) for value in values]


def linear(values: Iterable[float | None], words: Words, label: str) -> Scale:
    """From zero to somewhat above the largest value."""
    highest = max((value for value in values if value is not None), default=0.0)
    return Scale(0.0, highest * 1.06 or 1.0, words, label)


def fitting(values: Iterable[float | None], words: Words, label: str) -> Scale:
    """Linear from zero, or logarithmic where values differ a lot."""
    known = [value for value in values if value is not None and value > 0]
    if not known or max(known) < _LOG_SPREAD * min(known):
        return linear(known, words, label)
    return Scale(min(known) / 1.15, max(known) * 1.3, words, label, logarithmic=True)


def span(low: float, high: float, words: Words, label: str) -> Scale:
    """Linear, exactly these ends (apart from an empty span, which gets some width)."""
    return Scale(low, high if high > low else low + 1.0, words, label)


def _linear_ticks(low: float, high: float, most: int) -> Sequence[float]:
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(step for step in _STEPS if step * power >= rough * 0.999)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> Sequence[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [part * 10.0**decade for decade in decades for part in parts if low <= part * 10.0**decade <= high]
        if len(found) <= most:
            return found
    every = max(1, math.ceil(len(found) / most))
    return found[::every]
