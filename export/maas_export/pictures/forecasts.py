"""Histories, forecasts and what came, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_core.golden import Array
from maas_export.pictures.canvas import new_figure, png_of

_COLUMNS = 3


@dataclass(frozen=True)
class Panel:
    """One forecast.

    Attributes:
        title: what is shown.
        years: of all shares, [years].
        share: seen and to come, [years]; NaN where missing.
        origin: the place of the last year that the forecast has seen.
        forecast: lower, median and upper quantile, [horizon, 3].
    """

    title: str
    years: Array
    share: Array
    origin: int
    forecast: Array


def forecasts_picture(panels: Sequence[Panel], title: str) -> bytes:
    """PNG with one small chart for each panel."""
    rows = -(-len(panels) // _COLUMNS)
    figure = new_figure(4.2 * _COLUMNS, 3.2 * rows)
    for number, panel in enumerate(panels, 1):
        axes = figure.add_subplot(rows, _COLUMNS, number)
        _draw(axes, panel)
        if number == 1:
            axes.legend(fontsize=8, loc="upper left")
    figure.suptitle(title)
    return png_of(figure)


def _draw(axes: Any, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    first = panel.origin + 1
    ahead = panel.years[panel.origin] + np.arange(1, len(panel.forecast) + 1)
    came = slice(first, first + len(panel.forecast))
    axes.plot(panel.years[:first], 100 * panel.share[:first], "k.-", label="seen")
    axes.plot(panel.years[came], 100 * panel.share[came], "o", color="tab:red", mfc="none", label="what came")
    axes.plot(ahead, 100 * panel.forecast[:, 1], color="tab:blue", label="median")
    axes.fill_between(
        ahead, 100 * panel.forecast[:, 0], 100 * panel.forecast[:, 2], color="tab:blue", alpha=0.25, label="10-90 %"
    )
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.set_title(panel.title, fontsize=9)
    axes.set_ylabel("share, %")
    axes.grid(alpha=0.3)
