"""Scenes: into a square of 96 pixels and back to the pixels of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from maas_export.python_models import load_module

scene = load_module("scene_preprocess", "scene")
boxes = load_module("scene_postprocess", "boxes")
PictureError = load_module("scene_preprocess", "decoding").PictureError
DIGITS = [str(digit) for digit in range(10)]


def page_with(box: tuple[int, int, int, int], size: tuple[int, int], *, is_dark: bool = True) -> Image.Image:
    page = Image.new("L", size, 230 if is_dark else 20)
    page.paste(20 if is_dark else 230, box)
    return page


def mapped_back(square: Any, frame: Any) -> Any:
    """The box of all ink in the square, in pixels of the picture."""
    rows, columns = np.flatnonzero((square > 0.5).any(1)), np.flatnonzero((square > 0.5).any(0))
    found = np.zeros((1, 1, 4), np.float32)
    found[0, 0] = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    one = np.ones((1, 1), np.float32)
    return boxes.in_pictures(found, one, np.zeros((1, 1), np.int32), frame[None], [""], DIGITS)[0][0, 0]


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((96, 96), (20, 30, 50, 60)),
        ((960, 960), (200, 300, 500, 600)),
        ((1200, 500), (100, 50, 400, 400)),
        ((250, 2000), (50, 1200, 200, 1900)),
        ((48, 40), (8, 10, 30, 32)),
        ((4001, 3003), (1000, 500, 2000, 2500)),
    ],
)
@pytest.mark.parametrize("is_dark", [True, False])
def test_boxes_come_back_in_pixels_of_the_picture(
    size: tuple[int, int], box: tuple[int, int, int, int], is_dark: bool, encode: Any
) -> None:
    square, frame = scene.read_scene(encode(page_with(box, size, is_dark=is_dark)))
    assert square.shape == (96, 96)
    assert 0 <= square.min() <= square.max() <= 1
    assert frame[3:].tolist() == list(size)
    np.testing.assert_allclose(mapped_back(square, frame), box, atol=1.01 * max(size) / 96)


def test_boxes_are_those_of_the_upright_picture(encode: Any) -> None:
    upright, box = (300, 500), (30, 100, 100, 250)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = page_with(box, upright).transpose(Image.Transpose.ROTATE_90)
    square, frame = scene.read_scene(encode(stored, exif=exif))
    assert frame[3:].tolist() == list(upright)
    np.testing.assert_allclose(mapped_back(square, frame), box, atol=6)


def test_bad_pictures_have_their_reasons_and_the_others_their_scenes(encode: Any) -> None:
    good = encode(page_with((10, 10, 40, 60), (96, 96)))
    squares, frames, errors = scene.read_scenes([good, b"text", encode(Image.new("L", (50, 50), 255)), good])
    assert errors == ["", "wanted a PNG or JPEG file, got text", "no digit found: the picture is blank", ""]
    np.testing.assert_array_equal(squares[0], squares[3])
    assert not squares[1:3].any()
    assert not frames[1:3].any()
    with pytest.raises(PictureError, match="at most 9,000"):
        scene.read_scene(good, 9000)


def filtered(scores: list[float], index: list[int], error: str = "", least: float = 0.4) -> Any:
    count = len(scores)
    found = np.tile(np.array([10, 20, 30, 40], np.float32), (1, count, 1))
    frame = np.array([[0, 24, 2, 192, 96]], np.float32)
    return boxes.in_pictures(
        found, np.array([scores], np.float32), np.array([index], np.int32), frame, [error], DIGITS, least
    )


def test_likely_boxes_move_to_the_front_and_the_rest_is_empty() -> None:
    found, labels, scores, count = filtered([0.9, 0.3, 0.5, 0.0], [3, 4, 8, 0])
    assert count.tolist() == [[2]]
    assert count.dtype == np.int32
    assert labels.tolist() == [[b"3", b"8", b"", b""]]
    np.testing.assert_allclose(scores, [[0.9, 0.5, 0, 0]])
    assert found[0, 0].tolist() == [20, 0, 60, 32], "moved by the frame, scaled, cut at the picture's edge"
    assert not found[0, 2:].any()


def test_a_threshold_of_nothing_still_gives_no_box_where_there_is_none() -> None:
    assert filtered([0.9, 0.0], [3, 0], least=0.0)[3].tolist() == [[1]]


def test_a_picture_with_an_error_has_no_boxes_whatever_the_numbers() -> None:
    found, labels, scores, count = filtered([np.nan, 0.9], [3, 99], error="cannot be read")
    assert not found.any()
    assert labels.tolist() == [[b"", b""]]
    assert not scores.any()
    assert count.tolist() == [[0]]


@pytest.mark.parametrize(("scores", "index", "reason"), [([np.nan], [3], "NaN"), ([0.9], [10], "a class is 10")])
def test_numbers_that_make_no_sense_are_an_error(scores: list[float], index: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        filtered(scores, index)
