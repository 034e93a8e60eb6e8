"""From the bytes of a text to numbered letters."""

from __future__ import annotations

from typing import Any

import pytest

from maas_export.python_models import load_module

letters = load_module("text_preprocess", "letters")
ItemError = load_module("text_preprocess", "each").ItemError


def text_of(numbers: Any) -> str:
    return "".join(letters.CHARACTERS[number - 2] for number in numbers if number > 1)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"  Guten \t\r\n Morgen ", "Guten Morgen"),
        ("\ufeffJa\u200bna\u00adr".encode(), "Janar"),
        (b"a\x00b\x1bc", "abc"),
        ("Malmo\u0308".encode(), "Malmö"),
        ("o\u200b\u0308l".encode(), "öl"),
        *(((f"a{hidden}b").encode(), "ab") for hidden in "\ufe0f\u034f\u115f\u3164\u2800\ufffe\ufdd0\U000e0100"),
        (("e" + "\u0316" * 40).encode(), "e" + "\u0316" * 30),
        ("Süd\u00a0Korea".encode(), "Süd Korea"),
    ],
)
def test_a_text_is_read_as_it_is_seen(data: bytes, wanted: str) -> None:
    assert letters.read_letters(data) == wanted


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"the text is empty \(0 bytes\)"),
        (" \u200b\n".encode(), "nothing but white space and invisible characters"),
        ("Köln".encode("latin-1"), r"the text is not UTF-8 \(byte 0xf6 at position 1\)"),
        (b"\xff" * 1025, "the text has 1025 bytes, at most 1024 are read"),
        (b"x" * 65, "the text has 65 characters, at most 64 are read"),
    ],
)
def test_a_text_that_cannot_be_used_is_told_why(data: bytes, reason: str) -> None:
    with pytest.raises(ItemError, match=reason):
        letters.read_letters(data)


def test_the_longest_text_is_read_whole() -> None:
    tokens, _, errors = letters.read_texts([("é" * 64).encode()])
    assert errors == [""]
    assert text_of(tokens[0]) == "é" * 64


def test_texts_of_different_length_share_a_batch_and_a_bad_one_harms_none() -> None:
    texts = [b"Oslo", b"", "Åland och Öland, langt".encode()]
    tokens, characters, errors = letters.read_texts(texts)
    assert tokens.shape == characters.shape == (3, 32)
    assert [text_of(row) for row in tokens] == ["Oslo", "", "Åland och Öland, langt"]
    assert [b"".join(row.tolist()).decode() for row in characters] == ["Oslo", "", "Åland och Öland, langt"]
    assert [bool(error) for error in errors] == [False, True, False]
    assert not tokens[1].any()


def test_letters_without_a_number_are_unknown_but_given_back() -> None:
    tokens, characters, errors = letters.read_texts(["Aж".encode()])
    assert tokens[0, :3].tolist() == [letters.CHARACTERS.index("A") + 2, 1, 0]
    assert characters[0, 1].decode() == "ж"
    assert errors == [""]
