"""From the bytes of a PNG or JPEG file to a grey page; needs numpy and Pillow, not Triton."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

Grey = npt.NDArray[np.float32]

DEFAULT_MAX_PIXELS = 25_000_000
WORKING_SIZE = 400
"""Pages whose longer side is longer than this are reduced, pixels: a digit needs no more."""
NARROWEST = 4
"""A page whose shorter side is shorter than this, pixels, cannot show a digit."""

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

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""
_OPAQUE = 255
_CHANNEL_GAIN = 2.0
"""How much more contrast than brightness one colour channel must show to be read in its place."""


class PictureError(ValueError):
    """A picture that cannot be read; the text is one line for the person who sent it."""


def decode(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Grey:
    """The grey page that a PNG or JPEG file shows, upright.

    Args:
        data: the file.
        max_pixels: more than this many are refused from the header, before any pixel is decoded.

    Returns:
        [height, width], 0 (black) to 255 (white); reduced where the picture is larger than :data:`WORKING_SIZE`, and
        never narrower than :data:`NARROWEST`.

    Raises:
        PictureError: for anything else than a whole PNG or JPEG file of a permitted size.
    """
    if not data:
        raise PictureError("the picture is empty (0 bytes); send the bytes of a PNG or JPEG file")
    name, reader = _reader_of(data)
    try:
        # Not Image.open: it knows more formats, and its own size limit is one for the whole process.
        with reader(BytesIO(data)) as image:
            _check_size(image.size, max_pixels)
            if isinstance(image, JpegImageFile):
                image.draft(None, (WORKING_SIZE, WORKING_SIZE))
            image.load()
            page = _grey_of(_upright(image))
    except PictureError:
        raise
    except _DAMAGE as error:
        if "MAX_TEXT" in str(error):
            raise PictureError("the PNG file carries too much text beside its pixels; save it without") from error
        raise PictureError(f"the {name} file is truncated or damaged; send it whole") from error
    if min(page.shape) < NARROWEST:
        raise PictureError("the picture is too narrow to show a digit")
    return page


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


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(
            f"the picture has {width} x {height} = {width * height:,} pixels, at most {max_pixels:,} are read;"
            " make it smaller"
        )


def _upright(image: ImageFile) -> Image.Image:
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION)
    except _DAMAGE:
        # Viewers show such a picture as it is stored, and so its sender has seen it.
        orientation = None
    reduced = _reduced(image)
    return reduced.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else reduced


def _reduced(image: Image.Image) -> Image.Image:
    factor = -(-max(image.size) // WORKING_SIZE)
    if factor == 1:
        return image
    if image.mode in ("1", "P"):
        # Neither can hold a mean of its pixels.
        image = image.convert("RGBA" if image.has_transparency_data else "RGB" if image.mode == "P" else "L")
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    return image.reduce(factor)


def _grey_of(image: Image.Image) -> Grey:
    if image.mode[0] in "IF":
        return _stretched(np.asarray(image, dtype=np.float32))
    if image.has_transparency_data:
        return _grey_of_transparent(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"), dtype=np.float32)
    return _grey_of_colours(image.convert("RGB"))


def _stretched(values: Grey) -> Grey:
    """16-bit grey; scanners of 10 or 12 bits leave the uppermost bits unused."""
    brightest = float(values.max())
    return values * np.float32(255.0 / brightest) if brightest > 0 else values


def _grey_of_colours(image: Image.Image) -> Grey:
    """Brightness; or one colour channel where the ink differs from its paper in colour more than in brightness."""
    small = np.asarray(image.reduce(max(1, max(image.size) // 64)), dtype=np.float32).reshape(-1, 3)
    channels = np.column_stack([small @ _LUMA, small])
    off_ground = np.abs(channels - np.median(channels, axis=0))
    contrast = np.sqrt(np.mean(off_ground**2, axis=0))
    strongest = int(np.argmax(contrast))
    if contrast[strongest] > _CHANNEL_GAIN * contrast[0]:
        return np.asarray(image.getchannel(strongest - 1), dtype=np.float32)
    return np.asarray(image.convert("L"), dtype=np.float32)


def _grey_of_transparent(image: Image.Image) -> Grey:
    """Ink on a transparent ground is where the picture is opaque, whatever its colour, white too.

    Only where most of the picture is opaque and shows light and dark by itself (a photograph with its corners cut off)
    is the ink looked for in its colours.
    """
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32)
    colours = image.convert("RGB")
    if alpha.min() == alpha.max():
        if alpha.min() == 0:
            return alpha
        return _grey_of_colours(colours)
    visible = alpha >= _OPAQUE / 2
    grey = _grey_of_colours(colours)
    if visible.mean() > 0.5 and np.ptp(np.percentile(grey[visible], (1, 99))) > 64:
        ground = np.median(grey[visible])
        return np.asarray(ground + (grey - ground) * (alpha / _OPAQUE), dtype=np.float32)
    return _OPAQUE - alpha
