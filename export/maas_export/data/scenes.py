"""Scenes composed of real digits, whose boxes are known because they were put there.

A scene is ``image`` float32 [scenes, 1, 96, 96], ink from 0 (ground) to 1; its digits are ``boxes`` float32
[scenes, 6, 4] (left, top, right and bottom edge of the ink, pixels) and ``label`` int64 [scenes, 6], -1 where there are
fewer than six.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_export.average_precision import Found

SIZE = 96
MOST_DIGITS = 6
_SHORTEST, _TALLEST = 16, 48
"""Height of a digit, pixels."""
_MOST_OVERLAP = 0.3
"""Two digits may overlap by this share of the smaller one's box."""
_TRIES = 20
"""How often a place is looked for before a digit is left out."""
_INK = 0.3
"""What counts as ink where a digit's box is measured."""

Draw = Callable[[Array], Array]
"""Digits [samples, height, width] as ink [samples, 96, 96]."""


def composed(digits: Tensors, count: int, draw: Draw, rng: np.random.Generator) -> Tensors:
    """``count`` scenes of one to six digits each, of any size and place; some overlap.

    A digit that drawing leaves without ink is left out, as one for which there is no room is.

    Args:
        digits: columns ``ink`` [samples, height, width] and ``label`` [samples].
        count: of scenes.
        draw: how the digits are drawn.
        rng: decides everything.
    """
    chosen = rng.integers(len(digits["label"]), size=(count, MOST_DIGITS))
    used, place = np.unique(chosen, return_inverse=True)
    drawn = [_cropped(ink) for ink in draw(digits["ink"][used])]
    place = place.reshape(chosen.shape)
    scenes: dict[str, Array] = {
        "image": np.zeros((count, 1, SIZE, SIZE), dtype=np.float32),
        "boxes": np.zeros((count, MOST_DIGITS, 4), dtype=np.float32),
        "label": np.full((count, MOST_DIGITS), -1, dtype=np.int64),
    }
    for scene in range(count):
        boxes: list[tuple[int, int, int, int]] = []
        for digit in range(int(rng.integers(1, MOST_DIGITS + 1))):
            cropped = drawn[place[scene, digit]]
            if cropped is None:
                continue
            ink = _scaled(cropped, rng)
            box = _free_place(ink.shape, boxes, rng)
            if box is None:
                continue
            left, top, right, bottom = box
            part = scenes["image"][scene, 0, top:bottom, left:right]
            np.maximum(part, ink, out=part)
            scenes["boxes"][scene, len(boxes)] = box
            scenes["label"][scene, len(boxes)] = digits["label"][chosen[scene, digit]]
            boxes.append(box)
    return scenes


def _cropped(ink: Array) -> Array | None:
    inked = ink > _INK
    if not inked.any():
        return None
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(ink: Array, rng: np.random.Generator) -> Array:
    """A digit of a random height, small ones as often as large ones in proportion, and of its own strength."""
    height = round(float(np.exp(rng.uniform(np.log(_SHORTEST), np.log(_TALLEST)))))
    width = min(SIZE, max(2, round(ink.shape[1] * height / ink.shape[0])))
    filter_ = Image.Resampling.BOX if height < ink.shape[0] else Image.Resampling.BILINEAR
    scaled = np.asarray(Image.fromarray(ink).resize((width, height), filter_))
    return np.clip(scaled * np.float32(rng.uniform(0.7, 1.0)), 0, 1)


def _free_place(
    shape: tuple[int, ...], boxes: list[tuple[int, int, int, int]], rng: np.random.Generator
) -> tuple[int, int, int, int] | None:
    height, width = shape
    for _ in range(_TRIES):
        left, top = int(rng.integers(SIZE - width + 1)), int(rng.integers(SIZE - height + 1))
        box = (left, top, left + width, top + height)
        if all(overlap_share(box, other) <= _MOST_OVERLAP for other in boxes):
            return box
    return None


def overlap_share(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """The area in common as a share of the smaller box."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0, width) * max(0, height) / smaller


def labelled_scenes(folder: Path, labels: Sequence[str]) -> list[tuple[Path, Found]]:
    """The pictures that ``boxes.json`` of a folder names, with what is in them.

    The file holds ``{"scene.png": [{"label": "3", "box": [left, top, right, bottom]}, …], …}``, in pixels.

    Raises:
        WrongUse: naming the file, the picture and the box that is wrong.
    """
    listed = folder / "boxes.json"
    try:
        scenes = json.loads(listed.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUse(f"{listed} cannot be read ({error.strerror})", "give a folder with pictures and it") from error
    except ValueError as error:
        raise WrongUse(f"{listed} is not JSON: {error}", "mend that line") from error
    if not isinstance(scenes, dict) or not scenes:
        raise WrongUse(f"{listed} names no picture", 'write {"scene.png": [{"label": "3", "box": [0, 0, 9, 9]}]}')
    found = []
    for name, boxes in scenes.items():
        path = folder / name
        if not path.is_file():
            raise WrongUse(f"{listed} names {name}, which is not there", "put it beside boxes.json")
        found.append((path, _boxes_of(boxes, labels, f"{listed}: {name}")))
    return found


def _boxes_of(entries: object, labels: Sequence[str], where: str) -> Found:
    if not isinstance(entries, list):
        raise WrongUse(f"{where} has no list of boxes", "give a list, [] for a scene without digits")
    boxes, named = np.zeros((len(entries), 4)), []
    for number, entry in enumerate(entries):
        label, box = (entry.get("label"), entry.get("box")) if isinstance(entry, dict) else (None, None)
        if label not in labels:
            raise WrongUse(f"{where}, box {number}: there is no class {label!r}", f"classes are {', '.join(labels)}")
        if not _is_box(box):
            raise WrongUse(f"{where}, box {number} is {box}", "give left, top, right and bottom in pixels")
        boxes[number] = box
        named.append(label)
    return Found(boxes, np.array(named, dtype=np.str_), np.ones(0))


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(edge, int | float) for edge in box):
        return False
    left, top, right, bottom = box
    return bool(left < right and top < bottom)


def page_of(data: bytes) -> Array:
    """A picture as the eye sees it, [height, width], 0 (light) to 1 (dark); blank where it cannot be read."""
    try:
        with Image.open(BytesIO(data)) as picture:
            return 1 - np.asarray(ImageOps.exif_transpose(picture).convert("L"), dtype=np.float32) / 255
    except Exception:  # noqa: BLE001  # Pillow raises many kinds for damaged or huge files; the page is for the eye only
        return np.zeros((SIZE, SIZE), dtype=np.float32)
