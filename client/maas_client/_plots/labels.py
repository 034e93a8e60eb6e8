"""The labels of a classifier and their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from maas_client._plots import Panel
from maas_client._plots._panels import grid, title


def draw(panels: Sequence[Panel]) -> Figure:
    """A bar for each label, the best on top."""
    most = max(panel.result["score"].size for panel in panels)
    figure, places = grid(len(panels), 5, max(2.0, 0.4 * most + 1.0))
    for axes, panel in zip(places, panels, strict=True):
        labels = [title(label) for label in panel.result.text("label").ravel().tolist()]
        scores = panel.result["score"].ravel().tolist()
        places_of_bars = range(len(labels))
        axes.barh(places_of_bars, scores, color=["tab:blue", *["0.7"] * (len(labels) - 1)])
        axes.set_yticks(places_of_bars, labels)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        for place, score in zip(places_of_bars, scores, strict=True):
            axes.text(score + 0.01, place, f"{score:.3f}", va="center", fontsize=9)
        axes.set(title=title(panel.shown), xlabel="probability")
    return figure
