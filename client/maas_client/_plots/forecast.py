"""What was observed, and what is expected after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from maas_client._plots import Panel
from maas_client._plots._panels import grid, title
from maas_client.errors import RefusedValueError


def draw(panels: Sequence[Panel]) -> Figure:
    """History, median and the band between the lowest and the highest quantile.

    Raises:
        RefusedValueError: a forecast is not [steps, 3].
    """
    figure, places = grid(len(panels), 7, 4.5)
    for axes, panel in zip(places, panels, strict=True):
        forecast = panel.result["forecast"].astype(np.float64)
        if forecast.ndim != 2 or forecast.shape[1] != 3:
            raise RefusedValueError(
                f"{panel.shown}: a forecast is drawn from [steps, 3 quantiles], got {list(forecast.shape)}"
            )
        history = np.array(panel.history, np.float64)
        past, ahead = np.arange(1 - len(history), 1), np.arange(1, len(forecast) + 1)
        axes.plot(past, history, color="black", marker="o", markersize=3, label="observed")
        axes.fill_between(ahead, forecast[:, 0], forecast[:, 2], color="tab:blue", alpha=0.25, label="10 % to 90 %")
        axes.plot(ahead, forecast[:, 1], color="tab:blue", marker="o", markersize=4, label="median")
        axes.axvline(0, color="0.7", linewidth=1, zorder=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set(xlabel="steps from the last observation", ylabel="share", title=title(panel.shown))
        axes.grid(alpha=0.3)
        axes.legend(loc="best", fontsize=9)
    return figure
