"""How alike texts are: the cosine of each pair of embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from maas_client._plots import Panel
from maas_client._plots._panels import title
from maas_client.errors import RefusedValueError


def draw(panels: Sequence[Panel]) -> Figure:
    """A matrix with the cosine in each field.

    Raises:
        RefusedValueError: there are fewer than two texts.
    """
    if len(panels) < 2:
        raise RefusedValueError("--plot compares embeddings with each other; pass two inputs at least")
    embeddings = np.stack([panel.result["embedding"].astype(np.float64).ravel() for panel in panels])
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    cosines = unit @ unit.T
    names = [title(panel.shown) for panel in panels]
    longest_inches = 0.075 * max(map(len, names))
    side = max(3.0, 0.7 * len(panels))
    figure = Figure(figsize=(side + longest_inches + 1.2, side + 0.7 * longest_inches + 0.6), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    for row, column in np.ndindex(cosines.shape):
        ink = "white" if abs(cosines[row, column]) > 0.65 else "black"
        axes.text(column, row, f"{cosines[row, column]:.2f}", ha="center", va="center", color=ink, fontsize=9)
    figure.colorbar(image, ax=axes, label="cosine", shrink=0.8)
    return figure
