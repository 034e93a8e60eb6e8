"""What a detector found, over the picture that it was given."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, UnidentifiedImageError

from maas_client._cli.showing import objects_of
from maas_client._plots import Panel
from maas_client._plots._panels import grid, title
from maas_client.errors import RefusedValueError

_COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#f032e6", "#808000", "#000075")


def draw(panels: Sequence[Panel]) -> Figure:
    """A box with label and score round each object; a label has the same colour everywhere.

    Raises:
        RefusedValueError: a panel has no picture.
    """
    figure, places = grid(len(panels), 6, 6)
    labels = sorted({str(one["label"]) for panel in panels for one in objects_of(panel.result)})
    colors = {label: _COLORS[number % len(_COLORS)] for number, label in enumerate(labels)}
    for axes, panel in zip(places, panels, strict=True):
        axes.imshow(_picture(panel), cmap="gray")
        axes.set_axis_off()
        found = list(objects_of(panel.result))
        axes.set_title(f"{title(panel.shown)}: {len(found)} found", fontsize=10)
        for one in found:
            _draw_object(axes, one, colors[str(one["label"])])
    return figure


def _picture(panel: Panel) -> Image.Image:
    if not isinstance(panel.source, Path | bytes):
        raise RefusedValueError(f"{panel.shown}: boxes are drawn over a picture; pass one as a file")
    try:
        image = Image.open(io.BytesIO(panel.source) if isinstance(panel.source, bytes) else panel.source)
        # As it was sent: boxes are in the pixels of the file, whatever way a camera says that it was held.
        return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise RefusedValueError(f"{panel.shown} is no picture that can be drawn on: {error}") from error


def _draw_object(axes: Any, found: dict[str, Any], color: str) -> None:
    left, top, right, bottom = found["box"]
    axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=color, linewidth=2))
    axes.text(
        left,
        top,
        f"{title(found['label'])} {found['score']:.2f}",
        color="white",
        fontsize=9,
        verticalalignment="bottom",
        bbox={"facecolor": color, "edgecolor": "none", "pad": 1.5},
    )
