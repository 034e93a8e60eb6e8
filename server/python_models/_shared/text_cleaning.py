"""From the bytes that a caller sends to clean text; needs Python only, not Triton."""

from __future__ import annotations

import unicodedata

from .each import ItemError
from .visible import is_invisible, require_fair, without_piles

_MOST_BYTES = 320_000
"""16 for each of the 20,000 characters that are read of the longest text."""


def clean(data: bytes, most_bytes: int = _MOST_BYTES) -> str:
    """The text in ``data``, as it is meant to be seen.

    Unicode form C; invisible characters (zero-width ones, byte order mark, soft hyphen, variation selectors, control
    characters) taken out, and combining marks beyond 30 in a row; each run of white space, line ends too, made one
    blank; none at the ends.

    Args:
        data: UTF-8.
        most_bytes: longer texts are refused unread.

    Raises:
        ItemError: where it is too long or not UTF-8, or nothing is left.
    """
    if not data:
        raise ItemError("the text is empty (0 bytes)")
    require_fair(data, most_bytes, "text")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemError(f"the text is not UTF-8 (byte 0x{data[error.start]:02x} at position {error.start})") from error
    # Line ends and tabs are control characters as well, and white space before that.
    visible = "".join(character for character in text if character.isspace() or not is_invisible(character))
    cleaned = " ".join(unicodedata.normalize("NFC", without_piles(visible)).split())
    if not cleaned:
        raise ItemError("the text holds nothing but white space and invisible characters")
    return cleaned
