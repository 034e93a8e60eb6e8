"""Reading a colour picture: any size and mode, its middle, the right way up; every bad one gets its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maas_export.python_models import load_module

photo = load_module("photo_preprocess", "photo")
PictureError = load_module("photo_preprocess", "decoding").PictureError

RED, GREEN, BLUE = (220, 30, 30), (30, 220, 30), (30, 30, 220)


def quarters(size: tuple[int, int]) -> Image.Image:
    """Red and green above, blue and white below."""
    width, height = size
    page = Image.new("RGB", size, (255, 255, 255))
    page.paste(RED, (0, 0, width // 2, height // 2))
    page.paste(GREEN, (width // 2, 0, width, height // 2))
    page.paste(BLUE, (0, height // 2, width // 2, height))
    return page


def corners(seen: Any) -> list[tuple[int, int, int]]:
    return [tuple(seen[:, row, column].tolist()) for row in (4, 27) for column in (4, 27)]


WANTED = [RED, GREEN, BLUE, (255, 255, 255)]


@pytest.mark.parametrize("size", [(32, 32), (8, 8), (1000, 1000), (3000, 2000), (33, 1000), (4, 90)])
def test_any_size_becomes_32_by_32(size: tuple[int, int], encode: Any) -> None:
    seen = photo.read_photo(encode(quarters(size)))
    assert seen.shape == (3, 32, 32)
    assert seen.dtype == np.uint8
    np.testing.assert_allclose(np.array(corners(seen)), np.array(WANTED), atol=6)


def test_the_largest_square_in_the_middle_is_looked_at(encode: Any) -> None:
    page = Image.new("RGB", (300, 100), (0, 0, 0))
    page.paste(quarters((100, 100)), (100, 0))
    assert corners(photo.read_photo(encode(page))) == WANTED


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (1, lambda page: page),
        (3, lambda page: page.transpose(Image.Transpose.ROTATE_180)),
        (6, lambda page: page.transpose(Image.Transpose.ROTATE_90)),
        (8, lambda page: page.transpose(Image.Transpose.ROTATE_270)),
    ],
)
def test_a_picture_is_set_upright(orientation: int, stored: Callable[[Image.Image], Image.Image], encode: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert corners(photo.read_photo(encode(stored(quarters((64, 64))), exif=exif))) == WANTED


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_modes_of_colour(mode: str, encode: Any) -> None:
    page = quarters((64, 64)).convert(mode)
    data = encode(page, "JPEG", quality=98, subsampling=0) if mode == "CMYK" else encode(page)
    np.testing.assert_allclose(np.array(corners(photo.read_photo(data))), np.array(WANTED), atol=12)


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_modes_of_grey(mode: str, encode: Any) -> None:
    page = Image.new("L", (64, 64), 255)
    page.paste(0, (0, 0, 64, 32))
    shown = Image.fromarray(np.asarray(page).astype(np.uint16) * 257) if mode == "I;16" else page.convert(mode)
    seen = photo.read_photo(encode(shown))
    assert (seen[:, :14] == 0).all()
    assert (seen[:, 18:] == 255).all()


def test_what_is_transparent_is_white(encode: Any) -> None:
    page = quarters((64, 64)).convert("RGBA")
    page.putalpha(Image.fromarray(np.repeat(np.array([[0] * 32 + [255] * 32], np.uint8), 64, 0)))
    assert corners(photo.read_photo(encode(page))) == [(255, 255, 255), GREEN, (255, 255, 255), (255, 255, 255)]


def test_bytes_become_numbers_of_minus_one_to_one() -> None:
    np.testing.assert_allclose(photo.scaled(np.array([0, 255], np.uint8)), [-1, 1])


def test_a_bad_picture_does_not_harm_the_others(encode: Any) -> None:
    good = encode(quarters((40, 40)))
    photos, errors = photo.read_photos([good, b"no picture", good[:60], good], 1600)
    assert [bool(error) for error in errors] == [False, True, True, False]
    np.testing.assert_array_equal(photos[0], photos[3])
    assert not photos[1:3].any()


def test_large_pictures_are_refused_from_their_header(encode: Any) -> None:
    with pytest.raises(PictureError, match="40 x 41 = 1,640 pixels, at most 1,600"):
        photo.read_photo(encode(quarters((40, 41))), 1600)
