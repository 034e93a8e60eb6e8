"""From ink of any size to the 28×28 ink that the network takes; needs numpy and Pillow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Ink = npt.NDArray[np.float32]

SIZE = 28
BOX = 20
"""The longer side of a digit, pixels. MNIST (LeCun, Cortes, Burges) fits digits into a 20 by 20 box, their aspect kept,
and centres them by mass in 28 by 28."""

_SCALE = 4
"""How much finer the strokes are worked on than they are given out."""
_FINE = BOX * _SCALE
_MARGIN = 8
_THINNEST, _THICKEST = 2.4, 3.6
"""Stroke widths that are left as they are, pixels of the field that is given out."""
_MOST_TAKEN = 0.25
"""How much of its width a thick stroke may lose on either side, as a fraction."""
_GROUND = 0.3
"""Up to this ink is taken for ground; one less this is full ink."""
_HALF = 0.5
_SOLID = 0.9
"""The mean of the ink, weighted by itself, in strokes of several pixels' width: all but their edges is 1."""


def normalise_ink(ink: Ink) -> Ink:
    """One digit as MNIST shows it: fitted into 20×20 with its aspect kept, centred by mass in 28×28.

    Strokes thinner or thicker than usual are brought towards the usual width first, so that thin ones do not vanish in
    scaling and thick ones do not fill their loops.

    Args:
        ink: [height, width], 0 (ground) to 1 (ink), of any size; a ground up to 0.3 counts as 0.

    Returns:
        [28, 28], 0 (ground) to 1 (ink), without NaN; all 0 where there is no ink.
    """
    rough = _cropped(ink, _GROUND * float(ink.max()), margin=1)
    if rough is None:
        return np.zeros((SIZE, SIZE), dtype=np.float32)
    rough = _filled(rough)
    # Edges are made steep on a fine grid only: on a coarse one they say where between two pixels a stroke ends.
    digit = _cropped(_levelled(_resized(rough, _FINE) if max(rough.shape) < _FINE else rough), _HALF)
    if digit is None:
        return np.zeros((SIZE, SIZE), dtype=np.float32)
    fine = np.pad(_filled(_resized(digit, _FINE)), _MARGIN)
    weighted = _cropped(_with_usual_strokes(fine), _HALF)
    return _centred(_resized(digit if weighted is None else weighted, _FINE))


def _levelled(ink: Ink) -> Ink:
    """Soft edges made steep, about the half."""
    return np.asarray(np.clip((ink - _GROUND) / (1 - 2 * _GROUND), 0, 1), dtype=np.float32)


def _cropped(ink: Ink, least: float, margin: int = 0) -> Ink | None:
    """The part of the page with more ink than ``least``, and a margin in pixels; None where there is no such part."""
    inked = ink > least
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    if not rows.size:
        return None
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return ink[top : rows[-1] + 1 + margin, left : columns[-1] + 1 + margin]


def _resized(ink: Ink, longer_side: int) -> Ink:
    """Scaled so that its longer side is ``longer_side``, by area where it shrinks."""
    height, width = ink.shape
    if max(height, width) == longer_side:
        return ink
    scale = longer_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    filter_ = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(np.ascontiguousarray(ink)).resize(size, filter_))


def _filled(ink: Ink) -> Ink:
    """Strokes that became grey because they are thinner than a pixel, made full again."""
    inked = ink[ink > _GROUND * float(ink.max())]
    typical = float(inked @ inked) / float(inked.sum())
    return np.minimum(ink / np.float32(min(1.0, typical / _SOLID)), 1)


def _with_usual_strokes(fine: Ink) -> Ink:
    width = _stroke_width(fine) / _SCALE
    if width < _THINNEST:
        return _widened(fine, _SCALE * (_THINNEST - width) / 2)
    if width > _THICKEST:
        taken = min((width - _THICKEST) / 2, _MOST_TAKEN * width)
        return 1 - _widened(1 - fine, _SCALE * taken)
    return fine


def _stroke_width(ink: Ink) -> float:
    """The mean width of the strokes, pixels: a long stroke has twice its area over its outline as width."""
    down, right = np.diff(ink, axis=0)[:, :-1], np.diff(ink, axis=1)[:-1]
    outline = float(np.sqrt(down * down + right * right).sum())
    return 2 * float(ink.sum()) / outline if outline > 0 else 0.0


def _widened(ink: Ink, radius: float) -> Ink:
    """Ink grown by ``radius`` pixels on every side, by an octagon; what is over of a whole pixel in proportion."""
    whole = int(radius)
    for step in range(whole):
        ink = _grown(ink, diagonal=step % 2 == 1)
    part = np.float32(radius - whole)
    return ink + part * (_grown(ink, diagonal=whole % 2 == 1) - ink)


def _grown(ink: Ink, *, diagonal: bool) -> Ink:
    padded = np.pad(ink, 1, mode="edge")
    tall = np.maximum(np.maximum(padded[:-2], padded[2:]), padded[1:-1])
    if diagonal:
        return np.asarray(np.maximum(np.maximum(tall[:, :-2], tall[:, 2:]), tall[:, 1:-1]))
    return np.asarray(np.maximum(np.maximum(padded[1:-1, :-2], padded[1:-1, 2:]), tall[:, 1:-1]))


def _centred(digit: Ink) -> Ink:
    """The digit of the fine grid in 28×28, its centre of mass in the middle, to a quarter of a pixel."""
    height, width = digit.shape
    mass = float(digit.sum())
    middle_y = float(digit.sum(axis=1) @ np.arange(height)) / mass
    middle_x = float(digit.sum(axis=0) @ np.arange(width)) / mass
    side = SIZE * _SCALE
    top = min(max(round((side - 1) / 2 - middle_y), 0), side - height)
    left = min(max(round((side - 1) / 2 - middle_x), 0), side - width)
    field = np.zeros((side, side), dtype=np.float32)
    field[top : top + height, left : left + width] = digit
    rows = field.reshape(SIZE, _SCALE, side).mean(axis=1)
    return np.asarray(np.clip(rows.reshape(SIZE, SIZE, _SCALE).mean(axis=2), 0, 1))
