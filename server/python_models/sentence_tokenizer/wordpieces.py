"""What the model computes, without Triton: from the bytes of texts to numbered word pieces, one row a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from .each import ItemError, each
from .text_cleaning import clean

DEFAULT_MAX_TOKENS = 256
"""The length that all-MiniLM-L6-v2 was made for (its ``sentence_bert_config.json``)."""
MAX_CHARACTERS = 20_000
"""Longer texts are refused: far behind the last token that is read, they would only cost time."""
_STEP = 16
"""Rows are padded to a multiple of this: the dynamic batcher joins only requests of equal shape."""

Numbers = npt.NDArray[np.int64]


def load_tokenizer(path: Path, max_tokens: int = DEFAULT_MAX_TOKENS) -> Tokenizer:
    """A tokenizer out of its ``tokenizer.json``, which cuts texts after ``max_tokens``, the two at the ends included.

    Raises:
        ValueError: where the file cannot be read.
    """
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception for a file that it cannot read
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def read_sentences(
    texts: Sequence[bytes], tokenizer: Tokenizer, max_tokens: int, *, pad: int = 0, is_cleaned: bool = True
) -> tuple[Numbers, Numbers, list[str]]:
    """Several texts; a bad one does not harm the others.

    Args:
        texts: UTF-8.
        tokenizer: see :func:`load_tokenizer`.
        max_tokens: as many word pieces a row at most.
        pad: the number that stands behind the end of a text.
        is_cleaned: whether white space and what cannot be seen is tidied up first.

    Returns:
        The numbers of the word pieces [texts, tokens], ``pad`` behind the end of a text; 1 for each piece and 0 for
        padding, in the same shape; and for each text why it cannot be used, "" where it can.
    """
    readable = clean if is_cleaned else _as_sent
    pieces, errors = each(texts, lambda data: tokenizer.encode(_of_fair_length(readable(data))).ids, "text")
    steps = max([1, *(-(-len(ids) // _STEP) for ids in pieces if ids is not None)])
    numbers = np.full((len(texts), min(steps * _STEP, max_tokens)), pad, dtype=np.int64)
    present = np.zeros_like(numbers)
    for row, ids in enumerate(pieces):
        if ids is not None:
            numbers[row, : len(ids)] = ids
            present[row, : len(ids)] = 1
    return numbers, present, errors


def _as_sent(data: bytes) -> str:
    clean(data)  # for its refusals alone: what is empty or no UTF-8
    return data.decode("utf-8")


def _of_fair_length(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise ItemError(f"the text has {len(text)} characters, at most {MAX_CHARACTERS} are read")
    return text
