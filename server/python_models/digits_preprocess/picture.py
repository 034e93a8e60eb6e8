"""What the model computes, without Triton: from the bytes of a picture to the 28×28 ink of its digit.

Verification calls these functions in its own process, and training data goes through :func:`normalise_ink` too, so that
training and serving see the same thing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .decoding import DEFAULT_MAX_PIXELS, PictureError, decode
from .ink import find_ink
from .normalising import SIZE, normalise_ink

_LOG = logging.getLogger(__name__)

__all__ = ["DEFAULT_MAX_PIXELS", "SIZE", "PictureError", "normalise_ink", "read_digit", "read_digits"]


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
    digit = normalise_ink(find_ink(decode(data, max_pixels)))
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
    digits = np.zeros((len(pictures), 1, SIZE, SIZE), dtype=np.float32)
    errors = [""] * len(pictures)
    for position, data in enumerate(pictures):
        try:
            digits[position, 0] = read_digit(data, max_pixels)
        except PictureError as error:
            errors[position] = str(error)
        except Exception:  # noqa: BLE001  # one unforeseen picture must not take the others of its batch with it
            _LOG.exception("a picture could not be read")
            errors[position] = "the picture could not be read; the server's log says why"
    return digits, errors
