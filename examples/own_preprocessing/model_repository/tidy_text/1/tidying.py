"""What the model computes, without Triton: garbled texts made readable again, each with its own error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

# Python imports packages out of wheels, and what stands first is found first: these very versions are used, whatever
# else the server has installed.
sys.path[:0] = [str(wheel) for wheel in sorted(Path(__file__).parent.glob("*.whl"))]

import ftfy  # noqa: E402  # it lies in one of the wheels


class TextError(ValueError):
    """A text that cannot be used; one line for the person who sent it."""


def tidy(data: bytes, max_characters: int) -> str:
    """The text with its encoding mended and its white space collapsed.

    Raises:
        TextError: where it is empty, too long, or not UTF-8.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"the text is not UTF-8 (byte {error.start}); send UTF-8") from error
    text = " ".join(ftfy.fix_text(text).split())
    if not text:
        raise TextError("the text is empty; send at least one letter")
    if len(text) > max_characters:
        raise TextError(f"the text has {len(text)} characters, at most {max_characters} are read; shorten it")
    return text


def tidy_all(texts: Sequence[bytes], max_characters: int) -> tuple[list[str], list[str]]:
    """The tidy texts, "" for bad ones, and for each text why it is bad, "" where it is not."""
    tidied, errors = [""] * len(texts), [""] * len(texts)
    for position, data in enumerate(texts):
        try:
            tidied[position] = tidy(data, max_characters)
        except TextError as error:
            errors[position] = str(error)
    return tidied, errors
