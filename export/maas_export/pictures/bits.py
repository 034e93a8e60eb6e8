"""How hard a text was for a language model, as a picture."""

from __future__ import annotations

from collections.abc import Mapping

from maas_core.golden import Array
from maas_export.pictures.canvas import new_figure, png_of


def bits_picture(bits_per_byte: Array, baselines: Mapping[str, float], title: str) -> bytes:
    """PNG: how many held-out windows cost how much; the mean of each baseline as a line."""
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    axes.hist(bits_per_byte, bins=40, color="tab:blue", alpha=0.8, label="windows")
    for name, value in baselines.items():
        axes.axvline(value, color="tab:red", linestyle="--", label=f"{name}, mean {value:.3f}")
    axes.set_xlabel("bits per byte")
    axes.set_ylabel("held-out windows")
    axes.set_title(title)
    axes.legend()
    return png_of(figure)
