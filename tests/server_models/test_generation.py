"""A text grows token by token: what is sent when, and why it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from maas_export.data.gpt import vocabulary
from maas_export.python_models import load_module

GENERATION = load_module("tiny_gpt_text", "generation")
WISHES = load_module("tiny_gpt_text", "wishes")
VOCABULARY = vocabulary()
NO_PAST = np.zeros((1, 0), np.int64)
CONTEXT = 40


class Parrot:
    """A network that says given tokens, one after the other; its past is the tokens it has seen."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.says = list(tokens)
        self.asked: list[list[int]] = []

    def __call__(self, token: Any, past: Any) -> tuple[Any, Any]:
        assert past.shape[1] == sum(map(len, self.asked))
        self.asked.append(token[0].tolist())
        logits = np.zeros((1, token.shape[1], len(VOCABULARY)), np.float32)
        logits[0, -1, self.says[len(self.asked) - 1]] = 9.0
        return logits, np.concatenate([past, token], axis=1)


def wishes(**given: Any) -> Any:
    """A request as the server reads it."""
    values = {"prompt": [b"a"], "max_tokens": [30], **given}
    return WISHES.read_wishes(values, 64)


def said(text: str | bytes, **given: Any) -> list[Any]:
    """The pieces of an answer in which the network says ``text`` byte by byte, and then ends."""
    data = text.encode() if isinstance(text, str) else text
    single = {piece: token for token, piece in enumerate(VOCABULARY.bytes_of) if len(piece) == 1}
    tokens = [*(single[bytes([byte])] for byte in data), VOCABULARY.end_of_text]
    return list(GENERATION.generate(wishes(**given), VOCABULARY, Parrot(tokens), context=CONTEXT, empty=NO_PAST))


def told(pieces: Sequence[Any]) -> tuple[str, str]:
    """The whole text, and why it ended."""
    assert [piece.finish_reason for piece in pieces[:-1]] == [""] * (len(pieces) - 1)
    return "".join(piece.text for piece in pieces), pieces[-1].finish_reason


def test_one_piece_for_each_token_until_the_network_ends() -> None:
    pieces = said("hi!")
    assert [piece.text for piece in pieces] == ["h", "i", "!", ""]
    assert told(pieces) == ("hi!", "end")


def test_the_first_request_holds_the_prompt_and_each_further_one_a_single_token() -> None:
    parrot = Parrot([70, 71, 72])
    list(
        GENERATION.generate(
            wishes(prompt=[b"def f():"], max_tokens=[3]), VOCABULARY, parrot, context=CONTEXT, empty=NO_PAST
        )
    )
    assert parrot.asked == [[VOCABULARY.end_of_text, *VOCABULARY.encode("def f():")], [70], [71]]


def test_a_character_is_never_split() -> None:
    pieces = said("aé日🙂")
    assert [piece.text for piece in pieces if piece.text] == ["a", "é", "日", "🙂"]


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert told(said(b"a\xffb\xe6")) == ("a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}", "end")


def test_a_stop_string_ends_the_text_though_it_spans_tokens() -> None:
    pieces = said("one END two", stop=[b"END"])
    assert told(pieces) == ("one ", "stop")
    assert len(pieces) == len("one END")


def test_what_only_looked_like_a_stop_string_comes_later() -> None:
    pieces = said("an EN, no", stop=[b"END"])
    assert [piece.text for piece in pieces][3:6] == ["", "", "EN,"]
    assert told(pieces) == ("an EN, no", "end")


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert told(said("xaby", stop=[b"b", b"ab"])) == ("x", "stop")


def test_the_text_held_back_comes_at_the_limit() -> None:
    assert told(said("abEN", max_tokens=[4], stop=[b"END"])) == ("abEN", "length")


def test_a_full_context_ends_the_text() -> None:
    pieces = said("x" * 60, max_tokens=[60])
    prompt = 1 + len(VOCABULARY.encode("a"))
    assert told(pieces)[1] == "context"
    assert len(pieces) == CONTEXT - prompt + 1


def test_a_prompt_that_does_not_fit_is_refused_with_the_limit() -> None:
    with pytest.raises(WISHES.ItemError, match=rf"has \d+ tokens; the network sees {CONTEXT - 1} at most"):
        said("", prompt=[b"long " * 60])


def test_temperature_nought_takes_the_likeliest() -> None:
    rng = np.random.default_rng(0)
    assert GENERATION.choose(np.array([0.0, 2.0, 1.0], np.float32), 0.0, 0, rng) == 1


def test_the_same_seed_draws_the_same_and_top_k_bounds_what_is_drawn() -> None:
    logits = np.array([0.0, 2.0, 1.0, 1.9, -9.0], np.float32)

    def draws(seed: int, top_k: int) -> list[int]:
        rng = np.random.default_rng(seed)
        return [GENERATION.choose(logits, 1.0, top_k, rng) for _ in range(300)]

    assert draws(3, 0) == draws(3, 0) != draws(4, 0)
    assert set(draws(3, 2)) == {1, 3}
    shares = np.bincount(draws(5, 0), minlength=5) / 300
    np.testing.assert_allclose(shares, np.exp(logits) / np.exp(logits).sum(), atol=0.08)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"max_tokens": [65]}, "max_tokens is 65; it must be 1 to 64"),
        ({"max_tokens": [0]}, "max_tokens is 0"),
        ({"max_tokens": [1, 2]}, "max_tokens has 2 values"),
        ({"temperature": [-1.0]}, "temperature is -1"),
        ({"temperature": [float("nan")]}, "temperature is nan"),
        ({"top_k": [-1]}, "top_k is -1"),
        ({"prompt": [b""]}, "the prompt is empty"),
        ({"prompt": ["\N{ZERO WIDTH SPACE}".encode()]}, "the prompt is empty"),
        ({"prompt": [b"\xff"]}, "the prompt is not UTF-8"),
        ({"prompt": [b"x" * 16385]}, "the prompt has 16385 bytes, at most 16384 are read"),
        ({"stop": [b""]}, "a stop string has 0 characters"),
        ({"stop": [b"x"] * 9}, "9 stop strings"),
    ],
)
def test_wishes_that_cannot_be_met_are_told(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(WISHES.ItemError, match=reason):
        wishes(**given)


def test_a_prompt_keeps_its_white_space_and_loses_what_is_invisible() -> None:
    prompt = "\N{BYTE ORDER MARK}def f():\n\t  e\N{COMBINING ACUTE ACCENT}\N{SOFT HYPHEN} \n"
    assert wishes(prompt=[prompt.encode()]).prompt == "def f():\n\t  é \n"
    piled = "x\ufe0f" + "\N{COMBINING GRAVE ACCENT BELOW}" * 5000
    assert len(wishes(prompt=[piled.encode()]).prompt) == 31


@pytest.mark.parametrize("text", ["def f(x):\n    return x\n", "日本 🙂 é", "a<|endoftext|>b", " \t\n"])
def test_tokens_give_the_text_back(text: str) -> None:
    tokens = VOCABULARY.encode(text)
    assert b"".join(VOCABULARY.bytes_of[token] for token in tokens).decode() == text
    assert VOCABULARY.end_of_text not in tokens
