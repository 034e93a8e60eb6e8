"""What a caller asks of a text: read, checked, and refused in one line; needs Python only, not Triton."""

from __future__ import annotations

import math
import secrets
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .each import ItemError
from .visible import is_invisible, require_fair, without_piles

DEFAULT_MAX_TOKENS = 64
_MAX_PROMPT_BYTES = 16 * 1024
_MAX_TEMPERATURE = 10.0
_MAX_STOPS = 8
_MAX_STOP_CHARACTERS = 64
_KEPT_CONTROLS = frozenset("\t\n\r")


@dataclass(frozen=True)
class Wishes:
    """One request.

    Attributes:
        prompt: the text to go on from.
        max_tokens: how many tokens to give at most.
        temperature: 0 takes the likeliest token; 1 draws as the network believes, more draws more wildly.
        top_k: draws from so many of the likeliest tokens; 0 from all.
        seed: of the draws.
        stop: texts that end the answer; they are not given.
    """

    prompt: str
    max_tokens: int
    temperature: float
    top_k: int
    seed: int
    stop: tuple[str, ...]


def read_wishes(given: Mapping[str, Sequence[Any]], limit: int) -> Wishes:
    """Reads one request.

    Args:
        given: the values of each input that was sent, by name.
        limit: of ``max_tokens``.

    Raises:
        ItemError: with what is wrong.
    """
    max_tokens = int(_only(given, "max_tokens", min(DEFAULT_MAX_TOKENS, limit)))
    if not 1 <= max_tokens <= limit:
        raise ItemError(f"max_tokens is {max_tokens}; it must be 1 to {limit}")
    temperature = float(_only(given, "temperature", 0.0))
    if not (math.isfinite(temperature) and 0 <= temperature <= _MAX_TEMPERATURE):
        raise ItemError(f"temperature is {temperature:g}; it must be 0 (the likeliest token) to {_MAX_TEMPERATURE:g}")
    top_k = int(_only(given, "top_k", 0))
    if top_k < 0:
        raise ItemError(f"top_k is {top_k}; it must be 0 (all tokens) or more")
    return Wishes(
        prompt=_prompt(_only(given, "prompt", b"")),
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        seed=int(_only(given, "seed", secrets.randbits(63))),
        stop=_stops(given.get("stop", ())),
    )


def _only(given: Mapping[str, Sequence[Any]], name: str, default: Any) -> Any:
    values = given.get(name, (default,))
    if len(values) != 1:
        raise ItemError(f"{name} has {len(values)} values; it must have one")
    return values[0]


def _prompt(data: bytes) -> str:
    """The prompt in Unicode form C, without invisible characters; white space stays, for code depends on it."""
    require_fair(data, _MAX_PROMPT_BYTES, "prompt")
    visible = "".join(
        character for character in _text(data, "prompt") if character in _KEPT_CONTROLS or not is_invisible(character)
    )
    seen = unicodedata.normalize("NFC", without_piles(visible))
    if not seen:
        raise ItemError("the prompt is empty; give at least one character")
    return seen


def _stops(values: Sequence[bytes]) -> tuple[str, ...]:
    stops = tuple(_text(value, "stop") for value in values)
    if len(stops) > _MAX_STOPS:
        raise ItemError(f"{len(stops)} stop strings are given; at most {_MAX_STOPS} are taken")
    for stop in stops:
        if not 1 <= len(stop) <= _MAX_STOP_CHARACTERS:
            raise ItemError(f"a stop string has {len(stop)} characters; it must have 1 to {_MAX_STOP_CHARACTERS}")
    return stops


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemError(
            f"the {what} is not UTF-8 (byte 0x{data[error.start]:02x} at position {error.start})"
        ) from error
