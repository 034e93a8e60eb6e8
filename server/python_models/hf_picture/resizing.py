"""What the model computes, without Triton: a picture as the processors of Hugging Face's libraries prepare it.

They scale with Pillow, multiply by 1/255 and normalise each colour; ``picture.json`` holds their numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from .colours import colours_of
from .decoding import DEFAULT_MAX_PIXELS, decode
from .each import each

Floats = npt.NDArray[np.float32]

_NEVER_REDUCED = 2**30
"""Pixels: pictures are scaled in one go, as they were when the network was trained."""


@dataclass(frozen=True)
class Settings:
    """How pictures are prepared.

    Attributes:
        size: of the outcome, height and width in pixels.
        shorter: the shorter edge is scaled to it and the middle cut out; 0 scales both edges to ``size``.
        resample: Pillow's number of a filter.
        scale: what a byte is multiplied by.
        mean: then taken off, one for each colour.
        std: then divided by.
    """

    size: tuple[int, int]
    shorter: int
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


def read_settings(path: Path) -> Settings:
    """``picture.json``.

    Raises:
        ValueError: where it does not hold what it should.
    """
    try:
        return settings_of(path.read_bytes())
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def settings_of(content: bytes) -> Settings:
    """The content of ``picture.json``."""
    held = json.loads(content)
    height, width = held["size"]
    return Settings(
        size=(height, width),
        shorter=held["shorter"],
        resample=held["resample"],
        scale=held["scale"],
        mean=tuple(held["mean"]),
        std=tuple(held["std"]),
    )


def prepared(data: bytes, settings: Settings, max_pixels: int = DEFAULT_MAX_PIXELS) -> Floats:
    """One picture, [3, height, width].

    Raises:
        PictureError: where it cannot be read.
    """
    colours, _ = decode(data, colours_of, max_pixels=max_pixels, working_size=_NEVER_REDUCED)
    pixels = np.asarray(_scaled(colours, settings), dtype=np.float32) * np.float32(settings.scale)
    normalised = (pixels - np.array(settings.mean, np.float32)) / np.array(settings.std, np.float32)
    return normalised.transpose(2, 0, 1)


def read_pictures(
    pictures: Sequence[bytes], settings: Settings, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[Floats, list[str]]:
    """Several pictures; a bad one does not harm the others.

    Returns:
        [pictures, 3, height, width], 0 for the bad ones, and for each picture why it is bad, "" where it is not.
    """
    found, errors = each(pictures, lambda data: prepared(data, settings, max_pixels), "picture")
    values = np.zeros((len(found), 3, *settings.size), dtype=np.float32)
    for field, value in zip(values, found, strict=True):
        if value is not None:
            field[:] = value
    return values, errors


def _scaled(image: Image.Image, settings: Settings) -> Image.Image:
    height, width = settings.size
    filter_ = Image.Resampling(settings.resample)
    if not settings.shorter:
        return image.resize((width, height), filter_)
    # The longer edge is cut to a whole number of pixels, as transformers' get_resize_output_image_size does.
    shorter, longer = sorted(image.size)
    other = int(settings.shorter * longer / shorter)
    size = (settings.shorter, other) if image.width <= image.height else (other, settings.shorter)
    image = image.resize(size, filter_)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
