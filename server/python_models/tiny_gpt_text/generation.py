"""A text, token by token, out of a network that tells the logits of the next; needs no Triton."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .each import ItemError
from .vocabulary import Vocabulary
from .wishes import Wishes

Array = npt.NDArray[Any]
Network = Callable[[Array, Array], tuple[Array, Array]]
"""Tokens INT64 [1, time] and keys and values [1, layers, 2, heads, past, width] of what came before -> logits
[1, time, vocabulary] and the keys and values of all."""

STOP, LENGTH, CONTEXT, END = "stop", "length", "context", "end"
"""Why a text ended: a stop string came; ``max_tokens`` were given; the context is full; the network ended it."""


@dataclass(frozen=True)
class Piece:
    """One answer of the stream.

    Attributes:
        text: whole characters that became certain with this token; "" where it only began one, or where a stop string
            may have begun.
        token: the token's number.
        finish_reason: one of the reasons above on the last piece, "" before.
    """

    text: str
    token: int
    finish_reason: str


def generate(
    wishes: Wishes, vocabulary: Vocabulary, network: Network, *, context: int, empty: Array
) -> Iterator[Piece]:
    """Yields a piece for each token; between two of them the caller may stop.

    Args:
        wishes: what was asked for.
        vocabulary: of the network.
        network: is asked once for each token.
        context: how many tokens it sees at most.
        empty: its keys and values for no past.

    Raises:
        ItemError: the prompt leaves no room for a token.
    """
    tokens = [vocabulary.end_of_text, *vocabulary.encode(wishes.prompt)]
    if len(tokens) > context:
        raise ItemError(
            f"the prompt has {len(tokens) - 1} tokens; the network sees {context - 1} at most, so shorten the prompt"
        )
    rng = np.random.default_rng(wishes.seed)
    text = _GrowingText(wishes.stop)
    past, seen, ahead = empty, 0, tokens
    for number in range(1, wishes.max_tokens + 1):
        logits, past = network(np.array([ahead], dtype=np.int64), past)
        seen += len(ahead)
        token = choose(logits[0, -1], wishes.temperature, wishes.top_k, rng)
        certain = text.add(vocabulary.bytes_of[token])
        reason = (
            STOP
            if text.is_stopped
            else END
            if token == vocabulary.end_of_text
            else LENGTH
            if number == wishes.max_tokens
            else CONTEXT
            if seen == context
            else ""
        )
        yield Piece(certain + (text.rest() if reason else ""), token, reason)
        if reason:
            return
        ahead = [token]


def choose(logits: Array, temperature: float, top_k: int, rng: np.random.Generator) -> int:
    """The next token from logits [vocabulary]: the likeliest where ``temperature`` is 0, else drawn."""
    if temperature == 0:
        return int(np.argmax(logits))
    # The likeliest come first, so that noise in the last digits of the logits moves the borders between tokens least.
    order = np.argsort(-logits, kind="stable")[: top_k or None]
    scaled = logits[order].astype(np.float64) / temperature
    weights = np.cumsum(np.exp(scaled - scaled[0]))
    return int(order[np.searchsorted(weights, rng.random() * weights[-1], side="right")])


class _GrowingText:
    """Bytes in, text out as soon as it is certain: whole characters, and no beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        # What is no UTF-8 becomes U+FFFD: the network may put bytes together that are no text.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.is_stopped = False

    def add(self, data: bytes) -> str:
        """The text that became certain."""
        return self._release(self._decoder.decode(data))

    def rest(self) -> str:
        """What was held back, at the end of the text; nothing after a stop string."""
        if self.is_stopped:
            return ""
        certain = self._release(self._decoder.decode(b"", final=True))
        return certain + ("" if self.is_stopped else self._held)

    def _release(self, text: str) -> str:
        self._held += text
        places = [place for place in (self._held.find(stop) for stop in self._stops) if place >= 0]
        if places:
            self.is_stopped = True
            certain, self._held = self._held[: min(places)], ""
            return certain
        kept = max((_beginning_at_end(self._held, stop) for stop in self._stops), default=0)
        certain, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return certain


def _beginning_at_end(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``stop``."""
    return next((count for count in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:count])), 0)
