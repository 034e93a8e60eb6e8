"""What the model computes, without Triton: from the bytes of a picture to the 28×28 ink of its digit.

Verification calls these functions in its own process, and training data goes through :func:`normalise_ink` too, so that
training and serving see the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from .decoding import DEFAULT_MAX_PIXELS, PictureError, decode
from .dirt import without_dirt
from .each import each
from .grey import grey_of
from .ink import ink_on
from .normalising import SIZE, normalise_ink

__all__ = ["DEFAULT_MAX_PIXELS", "SIZE", "PictureError", "normalise_ink", "read_digit", "read_digits"]

_WORKING_SIZE = 400
"""Pages whose longer side is longer than this are reduced, pixels: a digit needs no more."""
_NARROWEST = 4
"""A page whose shorter side is shorter than this, pixels, cannot show a digit."""


def read_digit(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> npt.NDArray[np.float32]:
    """The digit that a picture shows.

    Args:
        data: the bytes of a PNG or JPEG file; any size and mode, dark on light or light on dark.
        max_pixels: larger pictures are refused from their header.

    Returns:
        [28, 28], 0 (ground) to 1 (ink), in the manner of MNIST.

    Raises:
        PictureError: where the picture cannot be read, or is blank.
    """
    page, _ = decode(data, grey_of, max_pixels=max_pixels, working_size=_WORKING_SIZE)
    if min(page.shape) < _NARROWEST:
        raise PictureError("the picture is too narrow to show a digit")
    digit = normalise_ink(without_dirt(ink_on(page)))
    if not digit.any():
        raise PictureError("no digit found: the picture is blank")
    return digit


def read_digits(
    pictures: Sequence[bytes], max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[npt.NDArray[np.float32], list[str]]:
    """The digits of several pictures; a bad one does not harm the others.

    Returns:
        The digits [pictures, 1, 28, 28], 0 for the bad ones, and for each picture why it is bad, "" where it is not.
    """
    found, errors = each(pictures, partial(read_digit, max_pixels=max_pixels), "picture")
    digits = np.zeros((len(found), 1, SIZE, SIZE), dtype=np.float32)
    for field, digit in zip(digits, found, strict=True):
        if digit is not None:
            field[0] = digit
    return digits, errors
