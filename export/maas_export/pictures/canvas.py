"""Figures without a display, and their bytes: the same figure always gives the same ones."""

from __future__ import annotations

from io import BytesIO
from typing import Any


def new_figure(width_in: float, height_in: float) -> Any:
    """An empty matplotlib figure of that size in inches, at 110 dots an inch."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Any) -> bytes:
    """The figure as a PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
