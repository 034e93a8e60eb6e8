"""Scenes with the boxes that were found in them, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maas_core.golden import Array
from maas_export.average_precision import Found, matched
from maas_export.pictures.canvas import new_figure, png_of

_COLUMNS = 6
_MOST = 18


def scenes_picture(scenes: Sequence[Array], wanted: Sequence[Found], got: Sequence[Found], title: str) -> bytes:
    """PNG of the first scenes, [height, width] of 0 (ground) to 1 (ink); right boxes are green, wrong ones red.

    A box is right where it overlaps a digit of its label by half. Digits that were missed are dashed.
    """
    shown = min(_MOST, len(scenes))
    rows = -(-shown // _COLUMNS)
    figure = new_figure(1.7 * _COLUMNS, 1.75 * rows + 0.5)
    figure.suptitle(title)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, scene, true, found in zip(axes, scenes[:shown], wanted, got, strict=False):
        axis.imshow(1 - scene, cmap="gray", vmin=0, vmax=1)
        for box, label, right in zip(found.boxes, found.labels, right_boxes(true, found), strict=True):
            _draw(axis, box, "tab:green" if right else "tab:red", str(label))
        for box, seen in zip(true.boxes, right_boxes(found, true), strict=True):
            if not seen:
                _draw(axis, box, "tab:orange", "", style="--")
    return png_of(figure)


def right_boxes(true: Found, found: Found) -> Array:
    """Which of the boxes of ``found`` are one of ``true`` with the same label, [boxes] bool."""
    right = np.zeros(len(found.labels), dtype=bool)
    for label in set(found.labels.tolist()):
        of_class = found.labels == label
        right[of_class] = matched(true.boxes[true.labels == label], found.boxes[of_class], 0.5)
    return right


def _draw(axis: Any, box: Array, colour: str, text: str, style: str = "-") -> None:
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    axis.add_patch(
        Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linestyle=style, linewidth=1)
    )
    axis.text(left, top - 1, text, color=colour, fontsize=7)
