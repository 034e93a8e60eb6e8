"""How alike sentences are, as a picture."""

from __future__ import annotations

import numpy as np

from maas_core.golden import Array
from maas_export.pictures.canvas import new_figure, png_of

_MOST_SHOWN = 40


def likeness_picture(likeness: Array, title: str) -> bytes:
    """PNG of the cosines [first sentence, second sentence]; partners lie on the diagonal, a cross marks a wrong choice.

    Of many pairs the first 40 are shown.
    """
    shown = likeness[:_MOST_SHOWN, :_MOST_SHOWN]
    size = max(5.0, 0.3 * len(shown))
    figure = new_figure(size + 1.2, size)
    axes = figure.add_subplot()
    image = axes.imshow(shown, cmap="viridis", vmin=min(0.0, float(shown.min())), vmax=1)
    figure.colorbar(image, ax=axes, label="cosine")
    axes.set_xticks(range(len(shown)), [str(number) for number in range(1, len(shown) + 1)], fontsize=8)
    axes.set_yticks(range(len(shown)), [str(number) for number in range(1, len(shown) + 1)], fontsize=8)
    axes.set_xlabel("second sentence of the pair")
    axes.set_ylabel("first sentence of the pair")
    axes.set_title(title, fontsize=10)
    wrong = np.flatnonzero(shown.argmax(axis=1) != np.arange(len(shown)))
    axes.plot(shown.argmax(axis=1)[wrong], wrong, "x", color="red")
    return png_of(figure)
