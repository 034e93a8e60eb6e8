"""How far digits and other shapes lie apart on an anomaly score, as a picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maas_core.golden import Array
from maas_export.pictures.canvas import new_figure, png_of

_EXAMPLES = 12


def anomalies_picture(scores: Mapping[str, Array], shown: Mapping[str, Array], threshold: float, title: str) -> bytes:
    """PNG: the scores of each kind as a histogram, and below it examples of each kind.

    Args:
        scores: [samples] by name of the kind.
        shown: [samples, height, width], 0 (ground) to 1 (ink), of the same kinds; the first ones are drawn.
        threshold: what is above counts as an anomaly.
        title: of the figure.
    """
    figure = new_figure(8.0, 3.2 + 0.55 * len(shown))
    upper, lower = figure.subfigures(2, 1, height_ratios=(3.2, 0.55 * len(shown)))
    axes = upper.add_subplot()
    edges = np.linspace(0, max(float(values.max()) for values in scores.values()), 60)
    for name, values in scores.items():
        axes.hist(values, edges, density=True, histtype="step", linewidth=1.5, label=f"{name} ({len(values)})")
    axes.axvline(threshold, color="black", linestyle="--", linewidth=1, label="threshold")
    axes.set_xlabel("score")
    axes.set_ylabel("density")
    axes.set_title(title)
    axes.legend(fontsize=8)
    rows = lower.subplots(len(shown), 1, squeeze=False)[:, 0]
    for row, (name, pictures) in zip(rows, shown.items(), strict=True):
        row.imshow(1 - np.concatenate(list(pictures[:_EXAMPLES]), axis=1), cmap="gray", vmin=0, vmax=1)
        row.set_xticks([])
        row.set_yticks([])
        row.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    return png_of(figure)
