"""Which letters a model looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from maas_client._plots import Panel
from maas_client._plots._panels import grid, title
from maas_client.errors import RefusedValueError

_MOST_LETTERS = 80


def draw(panels: Sequence[Panel]) -> Figure:
    """A heat map over the letters: one row of weights, a row for each head, or from each letter to each letter.

    Raises:
        RefusedValueError: the attention has another length than the letters.
    """
    maps = [_map(panel) for panel in panels]
    longest = max(len(letters) for letters, _ in maps)
    tallest = max(len(weights) for _, weights in maps)
    figure, places = grid(len(panels), max(5.0, 0.22 * longest + 1.5), max(2.0, 0.22 * tallest + 1.2))
    for axes, panel, (letters, weights) in zip(places, panels, maps, strict=True):
        image = axes.imshow(weights, cmap="viridis", aspect="auto", vmin=0)
        axes.set_xticks(range(len(letters)), letters, fontsize=9, family="monospace")
        _name_rows(axes, letters, weights)
        axes.set_title(_heading(panel), fontsize=10)
        figure.colorbar(image, ax=axes, label="attention")
    return figure


def _map(panel: Panel) -> tuple[list[str], npt.NDArray[np.float64]]:
    """The letters without the padding behind them, and their weights: [1 or heads or letters, letters]."""
    padded = panel.result.text("letters").ravel().tolist()
    length = max((place + 1 for place, letter in enumerate(padded) if letter), default=0)
    weights = panel.result["attention"].astype(np.float64)
    if not length or weights.ndim == 0 or weights.shape[-1] != len(padded):
        raise RefusedValueError(
            f"{panel.shown}: there are {len(padded)} letters and attention of the shape {list(weights.shape)}; its "
            "last axis must be the letters"
        )
    length = min(length, _MOST_LETTERS)
    if weights.ndim > 2:
        # Several heads or layers: their mean.
        weights = weights.mean(axis=tuple(range(weights.ndim - 2)))
    weights = np.atleast_2d(weights)[:, :length]
    is_square = len(weights) == len(padded)
    return ["␣" if letter.isspace() else title(letter) for letter in padded[:length]], weights[
        :length
    ] if is_square else weights


def _name_rows(axes: Any, letters: Sequence[str], weights: npt.NDArray[np.float64]) -> None:
    if len(weights) == 1:
        axes.set_yticks([])
    elif len(weights) == len(letters):
        axes.set_yticks(range(len(letters)), letters, fontsize=9, family="monospace")
        axes.set_ylabel("from")
    else:
        axes.set_yticks(range(len(weights)), [str(number) for number in range(1, len(weights) + 1)])
        axes.set_ylabel("head")


def _heading(panel: Panel) -> str:
    name = title(panel.shown)
    if not {"label", "score"} <= panel.result.keys():
        return name
    label, score = panel.result.text("label").ravel()[0], panel.result["score"].ravel()[0]
    return f"{name}: {title(label)} ({score:.2f})"
