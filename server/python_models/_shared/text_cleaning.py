"""From the bytes that a caller sends to clean text; needs Python only, not Triton."""

from __future__ import annotations

import unicodedata

from .each import ItemError


def clean(data: bytes) -> str:
    """The text in ``data``, as it is meant to be seen.

    Unicode form C; invisible characters (zero-width ones, byte order mark, soft hyphen, control characters) taken out;
    each run of white space, line ends too, made one blank; none at the ends.

    Args:
        data: UTF-8.

    Raises:
        ItemError: where it is not UTF-8, or nothing is left.
    """
    if not data:
        raise ItemError("the text is empty (0 bytes)")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemError(f"the text is not UTF-8 (byte 0x{data[error.start]:02x} at position {error.start})") from error
    # Categories Cc and Cf of Unicode; line ends and tabs are Cc as well, and white space before that.
    visible = "".join(
        character
        for character in unicodedata.normalize("NFC", text)
        if character.isspace() or unicodedata.category(character) not in {"Cc", "Cf"}
    )
    cleaned = " ".join(visible.split())
    if not cleaned:
        raise ItemError("the text holds nothing but white space and invisible characters")
    return unicodedata.normalize("NFC", cleaned)
