"""What of a text can be seen, and how much of it is fair; needs Python only, not Triton."""

from __future__ import annotations

import unicodedata

from .each import ItemError

_MOST_MARKS = 30
"""Combining marks in a row, as of Unicode's stream-safe text format (UAX #15): normalising costs the square of them."""

_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf"})
_DEFAULT_IGNORABLE = (
    *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2060, 0x206F), (0x3164, 0x3164)),
    *((0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF)),
)
"""Ranges of Unicode's property Default_Ignorable_Code_Point (DerivedCoreProperties.txt) that are not of category Cf."""
_BRAILLE_BLANK = 0x2800
_NONCHARACTERS = range(0xFDD0, 0xFDF0)


def is_invisible(character: str) -> bool:
    """Whether it shows nothing and is no white space: control and format characters, fillers, noncharacters."""
    if character.isascii():
        return unicodedata.category(character) == "Cc"
    code = ord(character)
    return (
        unicodedata.category(character) in _INVISIBLE_CATEGORIES
        or any(first <= code <= last for first, last in _DEFAULT_IGNORABLE)
        or code == _BRAILLE_BLANK
        or code in _NONCHARACTERS
        or code & 0xFFFE == 0xFFFE  # the last two of each plane
    )


def without_piles(text: str) -> str:
    """The text with at most 30 combining marks in a row; the others are taken out."""
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def require_fair(data: bytes, most_bytes: int, what: str) -> None:
    """Refuses what is far too long before any work is spent on it.

    Raises:
        ItemError: where ``data`` has more than ``most_bytes``.
    """
    if len(data) > most_bytes:
        raise ItemError(f"the {what} has {len(data)} bytes, at most {most_bytes} are read")
