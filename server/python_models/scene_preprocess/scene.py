"""What the model computes, without Triton: from the bytes of a picture to the ink in a square of 96 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from .decoding import DEFAULT_MAX_PIXELS, PictureError, decode
from .each import each
from .grey import grey_of
from .ink import ink_on

Floats = npt.NDArray[np.float32]

SIZE = 96
FRAME = 5
"""Numbers of a frame."""
_WORKING_SIZE = 400
"""Pages whose longer side is longer than this are reduced before their ink is looked for, pixels."""
_NARROWEST = 4
"""A page whose shorter side is shorter than this, pixels, cannot show a digit."""
_INKED = 0.3
"""What counts as ink where its strength is measured."""
_FAINTEST = 0.3
"""Ink whose strokes became fainter than this in scaling is not made full again."""


def read_scene(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[Floats, Floats]:
    """The ink of a picture in a square, its aspect kept, and where it lies there.

    Args:
        data: the bytes of a PNG or JPEG file; any size and mode, dark on light or light on dark.
        max_pixels: larger pictures are refused from their header.

    Returns:
        The scene [96, 96], 0 (ground) to 1 (ink), and its frame [5]: the left and the top edge of the picture in the
        square, how many pixels of the upright picture make one of the square, and the picture's width and height.

    Raises:
        PictureError: where the picture cannot be read, or is blank.
    """
    page, (width, height) = decode(data, grey_of, max_pixels=max_pixels, working_size=_WORKING_SIZE)
    if min(page.shape) < _NARROWEST:
        raise PictureError("the picture is too narrow to show a digit")
    ink = ink_on(page)
    if not ink.any():
        raise PictureError("no digit found: the picture is blank")
    scale = max(width, height) / SIZE
    wide, high = max(1, round(width / scale)), max(1, round(height / scale))
    left, top = (SIZE - wide) // 2, (SIZE - high) // 2
    scene = np.zeros((SIZE, SIZE), dtype=np.float32)
    scene[top : top + high, left : left + wide] = _full(_resized(ink, wide, high))
    return scene, np.array([left, top, scale, width, height], dtype=np.float32)


def read_scenes(pictures: Sequence[bytes], max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[Floats, Floats, list[str]]:
    """The scenes of several pictures; a bad one does not harm the others.

    Returns:
        The scenes [pictures, 1, 96, 96] and their frames [pictures, 5], 0 for the bad ones, and for each picture why it
        is bad, "" where it is not.
    """
    found, errors = each(pictures, partial(read_scene, max_pixels=max_pixels), "picture")
    scenes = np.zeros((len(found), 1, SIZE, SIZE), dtype=np.float32)
    frames = np.zeros((len(found), FRAME), dtype=np.float32)
    for position, scene in enumerate(found):
        if scene is not None:
            scenes[position, 0], frames[position] = scene
    return scenes, frames, errors


def _resized(ink: Floats, width: int, height: int) -> Floats:
    shrinks = width < ink.shape[1] or height < ink.shape[0]
    filter_ = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(ink).resize((width, height), filter_))


def _full(ink: Floats) -> Floats:
    """Strokes that became grey because they are thinner than a pixel, made full again."""
    inked = ink[ink > _INKED * float(ink.max())]
    return np.minimum(ink / np.float32(max(_FAINTEST, float(np.quantile(inked, 0.8)))), 1)
