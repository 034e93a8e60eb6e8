"""From a picture of any mode to its colours; needs numpy and Pillow, not Triton."""

from __future__ import annotations

import numpy as np
from PIL import Image

from .grey import grey_of

_PAPER = (255, 255, 255)
"""What is behind a transparent picture."""


def colours_of(image: Image.Image) -> Image.Image:
    """The picture in red, green and blue; what is transparent on white, what is finer than 8 bits stretched to them."""
    if image.mode[0] in "IF":
        return Image.fromarray(grey_of(image).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (*_PAPER, 255)), layer).convert("RGB")
    return image.convert("RGB")
