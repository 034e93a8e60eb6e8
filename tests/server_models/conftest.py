"""Pictures of a drawn digit, in any manner, for the tests of the digits pipeline."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

Draw = Callable[..., Image.Image]
Encode = Callable[..., bytes]

STROKES = {
    "2": [(0.0, 0.25), (0.1, 0.08), (0.35, 0.0), (0.55, 0.1), (0.58, 0.3), (0.4, 0.6), (0.0, 1.0), (0.62, 1.0)],
    "7": [(0.0, 0.0), (0.62, 0.0), (0.2, 1.0)],
    "0": [
        (0.3, 0.0),
        (0.08, 0.15),
        (0.0, 0.5),
        (0.08, 0.85),
        (0.3, 1.0),
        (0.52, 0.85),
        (0.6, 0.5),
        (0.52, 0.15),
        (0.3, 0.0),
    ],
}


@pytest.fixture(scope="session")
def draw() -> Draw:
    """``draw("7", size=(200, 200), …)``: a digit of straight strokes, mode RGB."""

    def drawn(
        label: str = "2",
        size: tuple[int, int] = (200, 200),
        at: tuple[float, float] = (0.3, 0.2),
        height: float = 0.6,
        pen: float = 0.1,
        ink: Any = (10, 10, 10),
        ground: Any = (250, 250, 250),
    ) -> Image.Image:
        width, depth = size
        tall = height * min(size)
        picture = Image.new("RGB", (4 * width, 4 * depth), ground)
        canvas = ImageDraw.Draw(picture)
        points = [(4 * (at[0] * width + x * tall), 4 * (at[1] * depth + y * tall)) for x, y in STROKES[label]]
        thickness = max(1.0, 4 * pen * tall)
        canvas.line(points, fill=ink, width=round(thickness))
        for x, y in points:
            canvas.ellipse((x - thickness / 2, y - thickness / 2, x + thickness / 2, y + thickness / 2), fill=ink)
        return picture.resize(size, Image.Resampling.BOX)

    return drawn


@pytest.fixture(scope="session")
def encode() -> Encode:
    """``encode(picture, "JPEG", quality=30)``: the bytes of its file."""

    def encoded(picture: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
        buffer = BytesIO()
        picture.save(buffer, format_, **options)
        return buffer.getvalue()

    return encoded


@pytest.fixture(scope="session")
def likeness() -> Callable[[npt.NDArray[Any], npt.NDArray[Any]], float]:
    """How alike two digits are: the correlation of their pixels, 1 for the same."""
    return lambda one, other: float(np.corrcoef(one.ravel(), other.ravel())[0, 1])
