"""From a picture of any mode to a grey page; needs numpy and Pillow, not Triton."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Grey = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
_OPAQUE = 255
_CHANNEL_GAIN = 2.0
"""How much more contrast than brightness one colour channel must show to be read in its place."""


def grey_of(image: Image.Image) -> Grey:
    """The grey page that a picture of any mode shows.

    Returns:
        [height, width], 0 (black) to 255 (white).
    """
    if image.mode[0] in "IF":
        return _stretched(np.asarray(image, dtype=np.float32))
    if image.has_transparency_data:
        return _grey_of_transparent(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"), dtype=np.float32)
    return _grey_of_colours(image.convert("RGB"))


def _stretched(values: Grey) -> Grey:
    """16-bit grey; scanners of 10 or 12 bits leave the uppermost bits unused."""
    brightest = float(values.max())
    return values * np.float32(255.0 / brightest) if brightest > 0 else values


def _grey_of_colours(image: Image.Image) -> Grey:
    """Brightness; or one colour channel where the ink differs from its paper in colour more than in brightness."""
    small = np.asarray(image.reduce(max(1, max(image.size) // 64)), dtype=np.float32).reshape(-1, 3)
    channels = np.column_stack([small @ _LUMA, small])
    off_ground = np.abs(channels - np.median(channels, axis=0))
    contrast = np.sqrt(np.mean(off_ground**2, axis=0))
    strongest = int(np.argmax(contrast))
    if contrast[strongest] > _CHANNEL_GAIN * contrast[0]:
        return np.asarray(image.getchannel(strongest - 1), dtype=np.float32)
    return np.asarray(image.convert("L"), dtype=np.float32)


def _grey_of_transparent(image: Image.Image) -> Grey:
    """Ink on a transparent ground is where the picture is opaque, whatever its colour, white too.

    Only where most of the picture is opaque and shows light and dark by itself (a photograph with its corners cut off)
    is the ink looked for in its colours.
    """
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32)
    colours = image.convert("RGB")
    if alpha.min() == alpha.max():
        if alpha.min() == 0:
            return alpha
        return _grey_of_colours(colours)
    visible = alpha >= _OPAQUE / 2
    grey = _grey_of_colours(colours)
    if visible.mean() > 0.5 and np.ptp(np.percentile(grey[visible], (1, 99))) > 64:
        ground = np.median(grey[visible])
        return np.asarray(ground + (grey - ground) * (alpha / _OPAQUE), dtype=np.float32)
    return _OPAQUE - alpha
