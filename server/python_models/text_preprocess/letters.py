"""What the model computes, without Triton: from the bytes of texts to numbered letters, one row a text.

Training data goes through the same functions, so that training and serving see the same thing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .each import ItemError, each
from .text_cleaning import clean

_ASCII = "".join(chr(code) for code in range(0x20, 0x7F))
_ACCENTED = (
    "áàâäãåăąæçćčďđéèêëěęğíìîïıłñňńóòôöőõøœřšśşșťțúùûüűůýÿžźżßÁÀÂÄÃÅĂĄÆÇĆČĎĐÉÈÊËĚĘĞÍÌÎÏİŁÑŇŃÓÒÔÖŐÕØŒŘŠŚŞȘŤȚÚÙÛÜŰŮÝŸŽŹŻ"
)
_MARKS = "‘’“”„«»–—·¿¡"
CHARACTERS = _ASCII + _ACCENTED + _MARKS
"""The characters that have a number of their own, in the order of their numbers: those of the languages of the
catalogue. Weights depend on this order: append only."""

PADDING, UNKNOWN, _FIRST = 0, 1, 2
VOCABULARY = _FIRST + len(CHARACTERS)
"""How many numbers there are."""
DEFAULT_MAX_CHARACTERS = 64
_BYTES_OF_A_CHARACTER = 16
"""At most, with the marks that it may be sent with."""
_STEP = 16
"""Rows are padded to a multiple of this: the dynamic batcher joins only requests of equal shape."""

_NUMBER_OF = {character: number for number, character in enumerate(CHARACTERS, _FIRST)}


def read_letters(data: bytes, max_characters: int = DEFAULT_MAX_CHARACTERS) -> str:
    """The clean text.

    Raises:
        ItemError: where the text cannot be read or has more than ``max_characters`` characters.
    """
    text = clean(data, _BYTES_OF_A_CHARACTER * max_characters)
    if len(text) > max_characters:
        raise ItemError(f"the text has {len(text)} characters, at most {max_characters} are read")
    return text


def numbered(texts: Sequence[str], length: int) -> npt.NDArray[np.int64]:
    """The numbers of the letters [texts, length], 0 behind the end of a text."""
    rows = np.zeros((len(texts), length), dtype=np.int64)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = [_NUMBER_OF.get(character, UNKNOWN) for character in text]
    return rows


def read_texts(
    texts: Sequence[bytes], max_characters: int = DEFAULT_MAX_CHARACTERS
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], list[str]]:
    """Several texts; a bad one does not harm the others.

    Returns:
        The numbers of the letters [texts, characters] (0 is padding), the letters themselves as UTF-8 in the same
        shape (b"" is padding), and for each text why it cannot be used, "" where it can.
    """
    read, errors = each(texts, lambda data: read_letters(data, max_characters), "text")
    cleaned = [text or "" for text in read]
    steps = max(-(-len(text) // _STEP) for text in ["a", *cleaned])
    length = min(steps * _STEP, max_characters)
    letters = np.full((len(texts), length), b"", dtype=np.object_)
    for row, text in zip(letters, cleaned, strict=True):
        row[: len(text)] = [character.encode() for character in text]
    return numbered(cleaned, length), letters, errors
