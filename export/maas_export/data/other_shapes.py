"""What is no digit: noise, digits whose pixels are shuffled, and letters. All of it is drawn, none of it is data.

Everything has the shape and the range of what ``digit_autoencoder`` takes, float32 [samples, 1, 28, 28], 0 to 1.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from maas_core.golden import Array

LETTERS_LIKE_DIGITS = frozenset("OoQDIlijSsZzBbGgqTY")
"""Letters whose shape is that of a digit as people write it: 0 (O, Q, D), 1 (I, l, i, j), 2 (Z), 5 (S), 6 (b, G), 7 (T,
Y), 8 (B), 9 (g, q). No measure of shapes can tell these apart, so they are counted by themselves."""
LETTERS = "".join(letter for letter in string.ascii_letters if letter not in LETTERS_LIKE_DIGITS)

_FONTS = ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "DejaVuSans-Oblique.ttf", "DejaVuSansMono-Oblique.ttf")
"""They come with matplotlib. None has serifs or hairlines, which no pen of the digits' writers draws."""
_THINNEST, _THICKEST = 0, 3
"""By how much their strokes are thickened on either side, as a pen does: a letter is 128 high."""
_SEED = 0
_BITMAP = 32
_BLOCK = 4


def kinds_of_shapes(ink: Array) -> dict[str, Array]:
    """Held-out digits, and as many of each kind that is none, by name of the kind; the same ones every time.

    Args:
        ink: of the digits, [samples, height, width].
    """
    from maas_export.data.digit_writers import prepared

    rng = np.random.default_rng(_SEED)
    digits = prepared(ink)
    count = len(digits)
    return {
        "digits": digits,
        "noise": noise(count, rng),
        "shuffled pixels": shuffled(digits, rng),
        "letters": prepared(drawn(LETTERS, count, rng)),
        "letters like digits": prepared(drawn("".join(sorted(LETTERS_LIKE_DIGITS)), count, rng)),
        "printed digits": prepared(drawn(string.digits, count, rng)),
    }


def noise(count: int, rng: np.random.Generator) -> Array:
    """Every pixel by itself, any strength alike."""
    return rng.random((count, 1, 28, 28), dtype=np.float32)


def shuffled(image: Array, rng: np.random.Generator) -> Array:
    """The pixels of each picture in another order: the same ink, without a shape."""
    flat = image.reshape(len(image), -1).copy()
    return rng.permuted(flat, axis=1).reshape(image.shape)


def drawn(characters: str, count: int, rng: np.random.Generator) -> Array:
    """Characters as 8×8 ink, [count, 8, 8], made the way in which scikit-learn's digits were.

    Those were bitmaps of 32×32 in which the digit fills its height; each 4×4 block became the number of its inked
    pixels (Alpaydin and Kaynak, *Optical Recognition of Handwritten Digits*, 1998). Here the bitmap shows a character
    of a random font, turned and slanted a little.
    """
    pages = np.empty((count, _BITMAP // _BLOCK, _BITMAP // _BLOCK), dtype=np.float32)
    for position in range(count):
        character = characters[int(rng.integers(len(characters)))]
        pages[position] = _blocks(_bitmap(character, int(rng.integers(len(_FONTS))), rng))
    return pages


def _bitmap(character: str, font: int, rng: np.random.Generator) -> Array:
    """[32, 32] bool."""
    page = Image.new("L", (192, 192))
    pen = int(rng.integers(_THINNEST, _THICKEST + 1))
    ImageDraw.Draw(page).text((96, 96), character, fill=255, font=_font(font), anchor="mm", stroke_width=pen)
    slant, angle = rng.uniform(-0.3, 0.3), rng.uniform(-12, 12)
    page = page.transform(page.size, Image.Transform.AFFINE, (1, slant, -96 * slant, 0, 1, 0))
    page = page.rotate(angle, Image.Resampling.BILINEAR)
    box = page.getbbox()
    if box is None:
        raise ValueError(f"the font {_FONTS[font]} draws nothing for {character!r}")
    page = page.crop(box)
    width = min(_BITMAP, max(6, round(page.width * _BITMAP / page.height)))
    field = Image.new("L", (_BITMAP, _BITMAP))
    field.paste(page.resize((width, _BITMAP), Image.Resampling.BOX), ((_BITMAP - width) // 2, 0))
    return np.asarray(field) > 127


def _blocks(bitmap: Array) -> Array:
    side = _BITMAP // _BLOCK
    counts = bitmap.reshape(side, _BLOCK, side, _BLOCK).sum(axis=(1, 3))
    shares: Array = (counts / _BLOCK**2).astype(np.float32)
    return shares


@cache
def _font(number: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / _FONTS[number], 128)
