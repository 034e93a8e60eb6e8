"""A grid of panels, alike in all pictures."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

_MOST_CHARACTERS = 48


def grid(count: int, width: float, height: float) -> tuple[Figure, list[Any]]:
    """A figure of ``count`` panels, each so many inches wide and high, and their axes."""
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for spare in axes[count:]:
        spare.set_axis_off()
    return figure, axes[:count]


def title(text: str) -> str:
    """A name short enough to stand above a panel."""
    text = " ".join(text.split())
    shown = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
    # Between two dollar signs matplotlib expects a formula.
    return shown.replace("$", r"\$")
