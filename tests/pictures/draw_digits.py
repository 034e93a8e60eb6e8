"""Draws the digits of ``drawings.py`` into ``tests/pictures/digits/`` and ``examples/digits/``.

    python tests/pictures/draw_digits.py

No font is used: every stroke was set down by hand, position by position. The same drawings come out of every run with
the same Pillow, byte for byte; wobble, grain and noise are seeded by the file's name.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from drawings import EXAMPLE_DRAWINGS, TEST_DRAWINGS, Drawing
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
FOLDERS = {
    HERE / "digits": TEST_DRAWINGS,
    HERE.parents[1] / "examples" / "digits": EXAMPLE_DRAWINGS,
}
SUPERSAMPLING = 4
WOBBLE = 0.9
"""How far a hand strays from its intended line, units of the sheet."""
PRESSURE = 0.14
"""How much the width of a line varies, as a fraction."""
EXIF_ORIENTATION_TAG = 0x0112
EXIF_ROTATE_90_CLOCKWISE = 6

Point = tuple[float, float]
Floats = npt.NDArray[np.float64]


def smooth_runs(stroke: str) -> Iterator[list[Point]]:
    """Splits a stroke where the pen turns sharply; neighbouring runs share that position."""
    run: list[Point] = []
    for position in stroke.split():
        x, y = position.rstrip("!").split(",")
        run.append((float(x), float(y)))
        if position.endswith("!"):
            yield run
            run = [run[-1]]
    yield run


def catmull_rom(points: Sequence[Point], steps: int = 60) -> Iterator[Point]:
    """A curve through all the points (Catmull and Rom 1974, uniform), its ends included."""
    padded = [points[0], *points, points[-1]]
    for (ax, ay), (bx, by), (cx, cy), (dx, dy) in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(steps):
            t = step / steps
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
            yield (
                0.5 * (weights[0] * ax + weights[1] * bx + weights[2] * cx + weights[3] * dx),
                0.5 * (weights[0] * ay + weights[1] * by + weights[2] * cy + weights[3] * dy),
            )
    yield points[-1]


def slow_waves(hand: random.Random, length: int) -> Floats:
    """A slow, smooth up and down between about -1 and 1, as a hand makes it."""
    t = np.linspace(0.0, 1.0, length)
    waves = [np.sin(2 * math.pi * (f * hand.uniform(0.7, 1.3) * t + hand.random())) / f**0.5 for f in (1, 2, 4)]
    return np.asarray(np.sum(waves, axis=0) / 2.0)


def ink_mask(drawing: Drawing) -> Image.Image:
    """Where the ink lies, 0 to 255, at the size of the picture (mode L)."""
    hand = random.Random(drawing.name)
    width, height = (side * SUPERSAMPLING for side in drawing.size)
    mask = Image.new("L", (width, height))
    canvas = ImageDraw.Draw(mask)
    scale = drawing.height / 100 * SUPERSAMPLING
    lean = math.tan(math.radians(drawing.slant_deg))
    for stroke in drawing.strokes:
        curve = np.array([point for run in smooth_runs(stroke) for point in catmull_rom(run)])
        curve += WOBBLE * np.stack([slow_waves(hand, len(curve)), slow_waves(hand, len(curve))], axis=1)
        curve[:, 0] += lean * (50 - curve[:, 1])
        xy = curve * scale + np.array(drawing.at) * SUPERSAMPLING
        radii = drawing.pen * SUPERSAMPLING / 2 * (1 + PRESSURE * slow_waves(hand, len(curve)))
        for (x, y), radius in zip(xy, radii, strict=True):
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        for (start, end), radius in zip(pairwise(xy), radii, strict=False):
            canvas.line((*start, *end), fill=255, width=max(1, round(2 * radius)))
    return mask.resize(drawing.size, Image.Resampling.BOX)


def brightness(drawing: Drawing) -> Floats:
    """How much light falls on each place of the paper, (H, W), 1 - shade to 1."""
    width, height = drawing.size
    from_x, from_y = drawing.shade_from
    x = np.linspace(0, 1, width)[None, :] - from_x
    y = np.linspace(0, 1, height)[:, None] - from_y
    away = np.hypot(x, y)
    return np.asarray(1 - drawing.shade * away / away.max())


def photograph(drawing: Drawing) -> Image.Image:
    """The drawing as a camera or scanner sees it: ink on its paper, light, noise (mode RGB; RGBA when transparent)."""
    chance = np.random.default_rng(zlib.crc32(drawing.name.encode()))
    ink = np.asarray(ink_mask(drawing), dtype=np.float64) / 255
    if drawing.grain:
        ink *= 1 - drawing.grain * chance.random(ink.shape)
    if drawing.mode in ("RGBA", "LA"):
        picture = Image.new("RGBA", drawing.size, (*drawing.ink, 0))
        picture.putalpha(Image.fromarray(np.round(ink * 255).astype(np.uint8)))
        return picture
    ground, colour = np.array(drawing.ground, dtype=np.float64), np.array(drawing.ink, dtype=np.float64)
    picture_rgb = ground + (colour - ground) * ink[..., None]
    picture_rgb *= brightness(drawing)[..., None]
    picture_rgb += chance.normal(0, drawing.noise, ink.shape)[..., None]
    return Image.fromarray(np.clip(np.round(picture_rgb), 0, 255).astype(np.uint8))


def in_mode(picture: Image.Image, mode: str) -> Image.Image:
    """The picture in the pixel format of its file."""
    if mode == "I;16":
        grey = np.asarray(picture.convert("L"), dtype=np.uint16)
        return Image.fromarray(grey * np.uint16(257))
    if mode == "1":
        return picture.convert("1", dither=Image.Dither.NONE)
    if mode == "P":
        return picture.quantize(16)
    return picture.convert(mode)


def save(drawing: Drawing, folder: Path) -> Path:
    """Draws one picture and writes it into the folder."""
    picture = in_mode(photograph(drawing), drawing.mode)
    path = folder / drawing.name
    if path.suffix == ".png":
        picture.save(path, optimize=True)
        return path
    exif = Image.Exif()
    if drawing.turned:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[EXIF_ORIENTATION_TAG] = EXIF_ROTATE_90_CLOCKWISE
    picture.save(path, quality=drawing.quality, exif=exif)
    return path


def main() -> None:
    """Draws everything anew."""
    for folder, drawings in FOLDERS.items():
        folder.mkdir(parents=True, exist_ok=True)
        paths = [save(drawing, folder) for drawing in drawings]
        size_bytes = sum(path.stat().st_size for path in paths)
        print(f"{len(paths)} pictures, {size_bytes / 1000:.0f} kB: {folder}")  # noqa: T201  # a script tells what it wrote


if __name__ == "__main__":
    main()
