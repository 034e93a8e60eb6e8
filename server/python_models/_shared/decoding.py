"""From the bytes of a PNG or JPEG file to its upright picture; needs Pillow, not Triton."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from .each import ItemError

Converted = TypeVar("Converted")

DEFAULT_MAX_PIXELS = 25_000_000

_EXIF_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture upright, by its EXIF orientation (CIPA DC-008, tag 0x0112)."""
_ON_ITS_SIDE = {5, 6, 7, 8}
"""The orientations that exchange width and height."""

_READERS: dict[bytes, tuple[str, type[ImageFile]]] = {
    b"\x89PNG\r\n\x1a\n": ("PNG", PngImageFile),
    b"\xff\xd8\xff": ("JPEG", JpegImageFile),
}
_OTHER_FORMATS = {
    b"GIF8": "GIF",
    b"RIFF": "WebP or another RIFF format",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
    b"PK\x03\x04": "ZIP",
    b"\x1f\x8b": "gzip",
}
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)
"""All that Pillow raises for files that are cut off or garbled."""


class PictureError(ItemError):
    """A picture that cannot be read; the text is one line for the person who sent it."""


def decode(
    data: bytes, convert: Callable[[Image.Image], Converted], *, max_pixels: int, working_size: int
) -> tuple[Converted, tuple[int, int]]:
    """What a PNG or JPEG file shows.

    Args:
        data: the file.
        convert: makes of the upright picture, of any mode, what is wanted; what it raises counts as damage of the file.
        max_pixels: more than this many are refused from the header, before any pixel is decoded.
        working_size: a picture whose longer side is longer than this, pixels, is reduced by a whole number.

    Returns:
        What ``convert`` made of it, and the width and height of the upright picture before it was reduced, pixels.

    Raises:
        PictureError: for anything else than a whole PNG or JPEG file of a permitted size.
    """
    if not data:
        raise PictureError("the picture is empty (0 bytes); send the bytes of a PNG or JPEG file")
    name, reader = _reader_of(data)
    try:
        # Not Image.open: it knows more formats, and its own size limit is one for the whole process.
        with reader(BytesIO(data)) as image:
            width, height = image.size
            _check_size(width, height, max_pixels)
            if isinstance(image, JpegImageFile):
                image.draft(None, (working_size, working_size))
            image.load()
            orientation = _orientation_of(image)
            upright = _turned(_reduced(image, working_size), orientation)
            size = (height, width) if orientation in _ON_ITS_SIDE else (width, height)
            return convert(upright), size
    except PictureError:
        raise
    except _DAMAGE as error:
        if "MAX_TEXT" in str(error):
            raise PictureError("the PNG file carries too much text beside its pixels; save it without") from error
        raise PictureError(f"the {name} file is truncated or damaged; send it whole") from error


def _reader_of(data: bytes) -> tuple[str, type[ImageFile]]:
    for signature, reader in _READERS.items():
        if data.startswith(signature):
            return reader
    raise PictureError(f"wanted a PNG or JPEG file, got {_describe(data)}")


def _describe(data: bytes) -> str:
    for signature, name in _OTHER_FORMATS.items():
        if data.startswith(signature):
            return name
    if any(signature.startswith(data) for signature in _READERS):
        return f"only its first {len(data)} bytes"
    head = data[:64].decode("utf-8", errors="replace").rstrip("\N{REPLACEMENT CHARACTER}")
    if head and all(character.isprintable() or character.isspace() for character in head):
        return "text"
    return f"unknown data (first bytes {data[:4].hex(' ')})"


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureError(
            f"the picture has {width} x {height} = {width * height:,} pixels, at most {max_pixels:,} are read;"
            " make it smaller"
        )


def _orientation_of(image: ImageFile) -> int | None:
    try:
        return image.getexif().get(_EXIF_ORIENTATION)
    except _DAMAGE:
        # Viewers show such a picture as it is stored, and so its sender has seen it.
        return None


def _turned(image: Image.Image, orientation: int | None) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _reduced(image: Image.Image, working_size: int) -> Image.Image:
    factor = -(-max(image.size) // working_size)
    if factor == 1:
        return image
    if image.mode in ("1", "P"):
        # Neither can hold a mean of its pixels.
        image = image.convert("RGBA" if image.has_transparency_data else "RGB" if image.mode == "P" else "L")
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    return image.reduce(factor)
