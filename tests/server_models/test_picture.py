"""Reading a digit out of a picture: every manner of picture gives the same ink, every bad one its own reason."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps, PngImagePlugin

from maas_export.python_models import load_module

picture = load_module("digits_preprocess", "picture")
read_digit = picture.read_digit

ALIKE = 0.9


def alpha_ink(drawn: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The drawing's ink in ``colour`` on a transparent ground."""
    inked = Image.new("RGBA", drawn.size, (*colour, 0))
    inked.putalpha(ImageOps.invert(drawn.convert("L")))
    return inked


def shaded(drawn: Image.Image, darkest: float) -> Image.Image:
    values = np.asarray(drawn, dtype=np.float32)
    light = np.linspace(1, darkest, drawn.width)[None, :, None] * np.linspace(1, 0.9, drawn.height)[:, None, None]
    return Image.fromarray((values * light).astype(np.uint8))


def noisy(drawn: Image.Image, deviation: float) -> Image.Image:
    values = np.asarray(drawn, dtype=np.float32)
    noise = np.random.default_rng(5).normal(0, deviation, values.shape[:2])[..., None]
    return Image.fromarray(np.clip(values + noise, 0, 255).astype(np.uint8))


def framed(drawn: Image.Image) -> Image.Image:
    ImageDraw.Draw(drawn).rectangle((0, 0, drawn.width - 1, drawn.height - 1), outline=(20, 20, 20), width=5)
    return drawn


def dusty(drawn: Image.Image) -> Image.Image:
    canvas = ImageDraw.Draw(drawn)
    for x, y in [(5, 5), (190, 12), (14, 188), (180, 180), (100, 4)]:
        canvas.ellipse((x - 1, y - 1, x + 1, y + 1), fill=(0, 0, 0))
    return drawn


def sixteen_bit(drawn: Image.Image, bits: int) -> Image.Image:
    return Image.fromarray(np.asarray(drawn.convert("L")).astype(np.uint16) << np.uint16(bits - 8))


def with_corners_cut(drawn: Image.Image) -> Image.Image:
    mask = Image.new("L", drawn.size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, drawn.width - 1, drawn.height - 1), radius=40, fill=255)
    drawn.putalpha(mask)
    return drawn


MANNERS: dict[str, Callable[[Any, Any], bytes]] = {
    "light on dark": lambda draw, encode: encode(draw(ink=(240, 240, 240), ground=(20, 20, 20))),
    "grey": lambda draw, encode: encode(draw().convert("L")),
    "1-bit": lambda draw, encode: encode(draw().convert("1", dither=Image.Dither.NONE)),
    "1-bit, large": lambda draw, encode: encode(draw(size=(900, 900)).convert("1", dither=Image.Dither.NONE)),
    "palette": lambda draw, encode: encode(draw(ink=(200, 0, 0)).quantize(8)),
    "palette with a transparent colour": lambda draw, encode: encode(
        draw().convert("L").quantize(2, dither=Image.Dither.NONE), transparency=0
    ),
    "16-bit grey": lambda draw, encode: encode(sixteen_bit(draw(), 16)),
    "16-bit grey, 10 bits used": lambda draw, encode: encode(sixteen_bit(draw(), 10)),
    "16-bit grey, large": lambda draw, encode: encode(sixteen_bit(draw(size=(900, 900)), 16)),
    "grey with alpha": lambda draw, encode: encode(alpha_ink(draw(), (0, 0, 0)).convert("LA")),
    "black on transparent": lambda draw, encode: encode(alpha_ink(draw(), (0, 0, 0))),
    "white on transparent": lambda draw, encode: encode(alpha_ink(draw(), (255, 255, 255))),
    "red on transparent, large": lambda draw, encode: encode(alpha_ink(draw(size=(900, 900)), (200, 0, 0))),
    "alpha that hides nothing": lambda draw, encode: encode(draw().convert("RGBA")),
    "photograph with its corners cut off": lambda draw, encode: encode(with_corners_cut(draw())),
    "JPEG of low quality": lambda draw, encode: encode(draw(), "JPEG", quality=10),
    "progressive JPEG": lambda draw, encode: encode(draw(), "JPEG", progressive=True),
    "grey JPEG": lambda draw, encode: encode(draw().convert("L"), "JPEG"),
    "CMYK JPEG": lambda draw, encode: encode(draw().convert("CMYK"), "JPEG"),
    "noise": lambda draw, encode: encode(noisy(draw(ink=(80, 80, 80), ground=(200, 200, 200)), 12)),
    "noise, JPEG": lambda draw, encode: encode(noisy(draw(ink=(80, 80, 80), ground=(200, 200, 200)), 12), "JPEG"),
    "uneven light": lambda draw, encode: encode(shaded(draw(), 0.5)),
    "uneven light on a dark ground": lambda draw, encode: encode(
        shaded(draw(ink=(230, 230, 230), ground=(90, 90, 90)), 0.6)
    ),
    "pencil in uneven light": lambda draw, encode: encode(
        shaded(draw(ink=(130, 130, 130), ground=(230, 230, 230)), 0.45), "JPEG"
    ),
    "faint pencil": lambda draw, encode: encode(draw(ink=(170, 170, 170), ground=(220, 220, 220))),
    "blue ink on grey paper": lambda draw, encode: encode(draw(ink=(30, 50, 150), ground=(190, 190, 188))),
    "red on green of the same brightness": lambda draw, encode: encode(draw(ink=(220, 60, 60), ground=(60, 142, 60))),
    "off-centre": lambda draw, encode: encode(draw(at=(0.02, 0.35), height=0.5)),
    "64 by 90": lambda draw, encode: encode(draw(size=(64, 90))),
    "28 by 28": lambda draw, encode: encode(draw(size=(28, 28), at=(0.2, 0.1), height=0.8)),
    "600 by 400": lambda draw, encode: encode(draw(size=(600, 400), at=(0.6, 0.3), height=0.4), "JPEG"),
    "3000 by 2000": lambda draw, encode: encode(draw(size=(3000, 2000)), "JPEG"),
    "thin pen": lambda draw, encode: encode(draw(size=(400, 400), pen=0.01)),
    "thin pen, thin page": lambda draw, encode: encode(draw(size=(120, 400), pen=0.02)),
    "thick pen": lambda draw, encode: encode(draw(pen=0.18)),
    "out of focus": lambda draw, encode: encode(draw().filter(ImageFilter.GaussianBlur(4))),
    "dust": lambda draw, encode: encode(dusty(draw())),
    "dust and noise": lambda draw, encode: encode(
        noisy(dusty(draw(ink=(90, 90, 90), ground=(200, 200, 200), size=(400, 400))), 16)
    ),
    "a frame round the page": lambda draw, encode: encode(framed(draw())),
    "cut close": lambda draw, encode: encode(draw(size=(66, 106), at=(0.04, 0.03), height=1.5, pen=0.08)),
    "12 kB of text chunks": lambda draw, encode: encode(draw(), pnginfo=text_chunk("x" * 12_000)),
}


def text_chunk(text: str, *, compressed: bool = False) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", text, zip=compressed)
    return info


@pytest.mark.parametrize("manner", MANNERS)
def test_every_manner_of_picture_shows_the_same_digit(manner: str, draw: Any, encode: Any, likeness: Any) -> None:
    plain = read_digit(encode(draw()))
    assert likeness(read_digit(MANNERS[manner](draw, encode)), plain) > ALIKE


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_picture_stored_on_its_side_is_set_upright(
    orientation: int, format_: str, draw: Any, encode: Any, likeness: Any
) -> None:
    upright = draw("7")
    to_stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(to_stored[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert likeness(read_digit(encode(stored, format_, exif=exif)), read_digit(encode(upright))) > 0.99


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_damaged_exif_does_not_spoil_the_picture(format_: str, draw: Any, encode: Any, likeness: Any) -> None:
    broken = encode(draw(), format_, exif=b"Exif\0\0no TIFF header")
    assert likeness(read_digit(broken), read_digit(encode(draw()))) > ALIKE


@pytest.mark.parametrize("label", ["2", "7", "0"])
@pytest.mark.parametrize("size", [(64, 90), (200, 200), (600, 400)])
def test_digits_come_in_the_manner_of_mnist(label: str, size: tuple[int, int], draw: Any, encode: Any) -> None:
    digit = read_digit(encode(draw(label, size=size, at=(0.1, 0.3))))
    rows, columns = np.flatnonzero((digit > 0.5).any(1)), np.flatnonzero((digit > 0.5).any(0))
    y, x = np.indices(digit.shape)
    assert digit.shape == (28, 28)
    assert digit.dtype == np.float32
    assert digit.min() == 0
    assert 0.9 < digit.max() <= 1
    assert 19 <= rows[-1] - rows[0] + 1 <= 20
    assert 11 <= columns[-1] - columns[0] + 1 <= 15
    assert abs((digit * y).sum() / digit.sum() - 13.5) <= 0.5
    assert abs((digit * x).sum() / digit.sum() - 13.5) <= 0.5


def test_different_digits_stay_different(draw: Any, encode: Any, likeness: Any) -> None:
    two, seven, nought = (read_digit(encode(draw(label))) for label in "270")
    assert max(likeness(two, seven), likeness(two, nought), likeness(seven, nought)) < 0.6


def test_a_thin_stroke_is_as_dark_as_a_thick_one(draw: Any, encode: Any) -> None:
    thin, usual = read_digit(encode(draw("0", size=(600, 600), pen=0.006))), read_digit(encode(draw("0")))
    assert np.count_nonzero(thin > 0.8) > 0.5 * np.count_nonzero(usual > 0.8)


def test_the_hole_of_a_thick_nought_stays_open(draw: Any, encode: Any) -> None:
    thick = read_digit(encode(draw("0", pen=0.3)))
    assert thick[12:16, 12:16].max() < 0.1


BLANK = {
    "white": Image.new("L", (200, 200), 255),
    "black": Image.new("L", (200, 200), 0),
    "coloured": Image.new("RGB", (64, 90), (190, 180, 170)),
    "noise": noisy(Image.new("RGB", (300, 200), (200, 200, 200)), 10),
    "uneven light": shaded(noisy(Image.new("RGB", (300, 200), (220, 220, 210)), 4), 0.5),
    "dust": dusty(Image.new("RGB", (200, 200), (255, 255, 255))),
}
BLANK_PNG = {
    "transparent": Image.new("RGBA", (100, 100), (255, 0, 0, 0)),
    "half transparent": Image.new("RGBA", (100, 100), (255, 0, 0, 128)),
    "1-bit": Image.new("1", (50, 50), 1),
    "16-bit": Image.fromarray(np.zeros((60, 60), dtype=np.uint16)),
}


@pytest.mark.parametrize(
    ("kind", "format_"),
    [*((kind, "PNG") for kind in BLANK | BLANK_PNG), *((kind, "JPEG") for kind in BLANK)],
)
def test_a_blank_page_is_an_error(kind: str, format_: str, encode: Any) -> None:
    with pytest.raises(picture.PictureError, match="no digit found: the picture is blank"):
        read_digit(encode((BLANK | BLANK_PNG)[kind], format_))


def without_palette(data: bytes) -> bytes:
    return data[: data.index(b"PLTE") - 4] + data[data.index(b"IDAT") - 4 :]


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends after its header."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT"
    )


def jpeg_with_size(data: bytes, width: int, height: int) -> bytes:
    """A JPEG file whose header says another size."""
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">HH", height, width) + data[start + 4 :]


BAD: dict[str, tuple[Callable[[Any, Any], bytes], str]] = {
    "empty": (lambda draw, encode: b"", r"the picture is empty \(0 bytes\)"),
    "text": (lambda draw, encode: b"This is not a picture.\n", "wanted a PNG or JPEG file, got text"),
    "text in other letters": (lambda draw, encode: "数字の絵ではありません".encode() * 4, "got text"),
    "noise": (lambda draw, encode: bytes(range(128, 200)), r"got unknown data \(first bytes 80 81 82 83\)"),
    "GIF": (lambda draw, encode: encode(draw(), "GIF"), "wanted a PNG or JPEG file, got GIF"),
    "BMP": (lambda draw, encode: encode(draw(), "BMP"), "got BMP"),
    "TIFF": (lambda draw, encode: encode(draw(), "TIFF"), "got TIFF"),
    "first bytes only": (lambda draw, encode: b"\x89PN", "got only its first 3 bytes"),
    "truncated PNG": (lambda draw, encode: encode(draw())[:-200], "the PNG file is truncated or damaged"),
    "truncated JPEG": (lambda draw, encode: encode(draw(), "JPEG")[:-200], "the JPEG file is truncated or damaged"),
    "PNG signature, then text": (
        lambda draw, encode: b"\x89PNG\r\n\x1a\nno more",
        "the PNG file is truncated or damaged",
    ),
    "20,000 x 20,000 PNG": (
        lambda draw, encode: png_header(20_000, 20_000),
        "20000 x 20000 = 400,000,000 pixels, at most",
    ),
    "20,000 x 20,000 JPEG": (
        lambda draw, encode: jpeg_with_size(encode(draw(), "JPEG"), 20_000, 20_000),
        "20000 x 20000 = 400,000,000 pixels, at most 25,000,000",
    ),
    "text bomb": (
        lambda draw, encode: encode(draw(), pnginfo=text_chunk("x" * 5_000_000, compressed=True)),
        "the PNG file carries too much text",
    ),
    "palette PNG without its palette": (
        lambda draw, encode: without_palette(encode(draw().quantize(4))),
        "the PNG file is truncated or damaged",
    ),
    "a line": (lambda draw, encode: encode(Image.new("L", (500, 2))), "too narrow to show a digit"),
    "a long line": (lambda draw, encode: encode(Image.new("L", (20_000, 20))), "too narrow to show a digit"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_says_what_is_wrong_in_one_line(kind: str, draw: Any, encode: Any) -> None:
    make, reason = BAD[kind]
    with pytest.raises(picture.PictureError, match=reason) as caught:
        read_digit(make(draw, encode))
    text = str(caught.value)
    assert len(text) < 150
    assert "\n" not in text
    assert "Error" not in text
    assert "/" not in text


def test_the_size_limit_can_be_chosen(draw: Any, encode: Any) -> None:
    data = encode(draw(size=(200, 200)))
    assert read_digit(data, 40_000).any()
    with pytest.raises(picture.PictureError, match="200 x 200 = 40,000 pixels, at most 39,999 are read"):
        read_digit(data, 39_999)


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_a_file_cut_anywhere_is_refused_unless_all_its_pixels_are_there(format_: str, draw: Any, encode: Any) -> None:
    data = encode(draw(size=(40, 50)), format_)
    whole, answered = read_digit(data), 0
    for length in range(len(data)):
        try:
            assert np.array_equal(read_digit(data[:length]), whole)
            answered += 1
        except picture.PictureError as error:
            assert "Error" not in str(error)  # noqa: PT017  # both outcomes are right, each in its place
    # The ends of both formats carry no pixels: a PNG's check sums and last chunk, a JPEG's end marker.
    assert answered <= 24


@pytest.mark.parametrize("format_", ["PNG", "JPEG"])
def test_flipped_bits_never_raise_anything_else(format_: str, draw: Any, encode: Any) -> None:
    data = bytearray(encode(draw(size=(40, 50)), format_))
    rng = np.random.default_rng(0)
    for _ in range(500):
        position, bit = int(rng.integers(len(data))), int(rng.integers(8))
        data[position] ^= 1 << bit
        with contextlib.suppress(picture.PictureError):
            assert np.isfinite(read_digit(bytes(data))).all()
        data[position] ^= 1 << bit


def test_bad_pictures_do_not_harm_the_others(draw: Any, encode: Any) -> None:
    two, nought = encode(draw("2")), encode(draw("0", size=(64, 90)))
    digits, errors = picture.read_digits([two, b"no picture", nought, b""])
    assert digits.shape == (4, 1, 28, 28)
    assert errors == ["", "wanted a PNG or JPEG file, got text", "", errors[3]]
    assert errors[3].startswith("the picture is empty")
    assert np.array_equal(digits[0, 0], read_digit(two))
    assert np.array_equal(digits[2, 0], read_digit(nought))
    assert not digits[[1, 3]].any()


def test_an_unforeseen_failure_costs_one_picture_only(
    draw: Any, encode: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decode = picture.decode

    def failing(data: bytes, *arguments: Any, **options: Any) -> Any:
        if data == b"poison":
            raise RuntimeError("unforeseen")
        return decode(data, *arguments, **options)

    monkeypatch.setattr(picture, "decode", failing)
    digits, errors = picture.read_digits([b"poison", encode(draw())])
    assert errors == ["the picture could not be read; the server's log says why", ""]
    assert digits[1].any()
    assert "unforeseen" in caplog.text


def test_no_pictures_give_no_digits() -> None:
    digits, errors = picture.read_digits([])
    assert digits.shape == (0, 1, 28, 28)
    assert errors == []


@pytest.mark.parametrize("size", [8, 20, 28, 96, 300])
def test_ink_of_any_size_is_normalised_alike(size: int, draw: Any, likeness: Any) -> None:
    drawn = ImageOps.invert(draw(size=(400, 400)).convert("L"))
    ink = np.asarray(drawn.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255
    fine = np.asarray(drawn, dtype=np.float32) / 255
    assert likeness(picture.normalise_ink(ink), picture.normalise_ink(fine)) > (0.8 if size == 8 else ALIKE)


def test_a_raised_ground_is_no_ink(draw: Any) -> None:
    ink = np.asarray(ImageOps.invert(draw().convert("L")), dtype=np.float32) / 255
    raised = np.maximum(ink, np.float32(0.25))
    assert np.allclose(picture.normalise_ink(raised), picture.normalise_ink(ink), atol=1e-6)


def test_no_ink_normalises_to_none() -> None:
    assert not picture.normalise_ink(np.zeros((50, 40), dtype=np.float32)).any()
