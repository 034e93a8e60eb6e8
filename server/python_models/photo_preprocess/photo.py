"""What the model computes, without Triton: from the bytes of a picture to the 32×32 colours that the network takes.

Training data goes through :func:`scaled` too, so that training and serving see the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image

from .colours import colours_of
from .decoding import DEFAULT_MAX_PIXELS, decode
from .each import each

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

SIZE = 32
_WORKING_SIZE = 512
"""Pictures whose longer side is longer than this are reduced first, pixels."""


def read_photo(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Bytes:
    """The middle of a picture, as large a square as it has, in 32×32.

    Args:
        data: the bytes of a PNG or JPEG file; any size and mode, what is transparent on white.
        max_pixels: larger pictures are refused from their header.

    Returns:
        [3, 32, 32], red, green and blue.

    Raises:
        PictureError: where the picture cannot be read.
    """
    colours, _ = decode(data, colours_of, max_pixels=max_pixels, working_size=_WORKING_SIZE)
    side = min(colours.size)
    left, top = (colours.width - side) // 2, (colours.height - side) // 2
    middle = colours.crop((left, top, left + side, top + side))
    filter_ = Image.Resampling.BOX if side >= SIZE else Image.Resampling.BILINEAR
    return np.asarray(middle.resize((SIZE, SIZE), filter_)).transpose(2, 0, 1)


def read_photos(pictures: Sequence[bytes], max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[Floats, list[str]]:
    """The middles of several pictures; a bad one does not harm the others.

    Returns:
        The pictures [pictures, 3, 32, 32] as :func:`scaled` gives them, 0 for the bad ones, and for each picture why it
        is bad, "" where it is not.
    """
    found, errors = each(pictures, partial(read_photo, max_pixels=max_pixels), "picture")
    photos = np.zeros((len(found), 3, SIZE, SIZE), dtype=np.float32)
    for field, photo in zip(photos, found, strict=True):
        if photo is not None:
            field[:] = scaled(photo)
    return photos, errors


def scaled(colours: Bytes) -> Floats:
    """Bytes of 0 to 255 as numbers of -1 to 1."""
    return np.asarray(colours, dtype=np.float32) / np.float32(127.5) - 1
