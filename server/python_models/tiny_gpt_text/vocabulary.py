"""Text <-> tokens: a byte-level byte-pair encoding, so that every text has tokens and no token is unknown."""

from __future__ import annotations

from functools import cached_property

from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
"""Stands before every text, and after it: a model that gives it has nothing more to say."""


class Vocabulary:
    """What the tokens are.

    Args:
        definition: the JSON of a ``tokenizers`` byte-level BPE whose vocabulary holds ``END_OF_TEXT``.

    Raises:
        ValueError: the definition is no such JSON.
    """

    def __init__(self, definition: str) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(definition)
        except Exception as error:  # tokenizers raises plain Exception
            raise ValueError(f"the vocabulary cannot be read: {error}") from error
        end = self._tokenizer.token_to_id(END_OF_TEXT)
        if end is None:
            raise ValueError(f"the vocabulary has no {END_OF_TEXT}")
        self.end_of_text: int = end

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        """The tokens of a text; ``END_OF_TEXT`` inside a text is text like any other."""
        pieces = text.split(END_OF_TEXT)
        tokens = list(self._tokenizer.encode(pieces[0]).ids)
        for piece in pieces[1:]:
            tokens += self._tokenizer.encode(END_OF_TEXT[:1]).ids
            tokens += self._tokenizer.encode(END_OF_TEXT[1:]).ids
            tokens += self._tokenizer.encode(piece).ids
        return tokens

    @cached_property
    def bytes_of(self) -> tuple[bytes, ...]:
        """The bytes of each token, which may be a part of a character; none for the end of a text."""
        byte_of = _byte_of_character()
        names = {token: name for name, token in self._tokenizer.get_vocab().items()}
        return tuple(
            b"" if token == self.end_of_text else bytes(byte_of[character] for character in names[token])
            for token in range(len(self))
        )


def _byte_of_character() -> dict[str, int]:
    """The characters that byte-level BPE writes for bytes: printable Latin-1 for itself, the others from U+0100 on.

    Source: ``bytes_to_unicode`` of GPT-2's encoder.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {
        **{chr(byte): byte for byte in printable},
        **{chr(0x100 + place): byte for place, byte in enumerate(others)},
    }
