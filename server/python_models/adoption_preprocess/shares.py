"""From one cell of a table to a share; needs Python only, not Triton."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from .each import ItemError, each
from .visible import is_invisible, require_fair

_MISSING = frozenset({"", "-", "–", "—", ".", "..", "?", "na", "n/a", "#n/a", "nan", "null", "none", "missing"})
_NUMBER = re.compile(r"([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)(%?)")
_SHOWN = 40
_MOST_BYTES = 64


def read_share(data: bytes) -> float | None:
    """The share, 0 to 1, that a cell means: ``12 %``, ``0.12``, ``0,12``; ``None`` where it says that none is known.

    Args:
        data: UTF-8; white space and invisible characters count for nothing.

    Raises:
        ItemError: where it is neither a share nor one of the usual words for a missing one.
    """
    require_fair(data, _MOST_BYTES, "observation")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ItemError(f"the observation is not UTF-8 (byte 0x{data[error.start]:02x})") from error
    # Form KC makes of wide or no-break characters the plain ones.
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKC", text)
        if not character.isspace() and not is_invisible(character)
    ).replace("\N{MINUS SIGN}", "-")
    if plain.lower() in _MISSING:
        return None
    shown = repr(text.strip()[:_SHOWN])
    match = _NUMBER.fullmatch(plain)
    if match is None:
        raise ItemError(f"{shown} is no share; write 0.12 or 12 %, or leave it empty where it is not known")
    value = float(match[1].replace(",", ".")) / (100 if match[2] else 1)
    if not 0 <= value <= 1:
        hint = f"; did you mean {shown[1:-1]} %?" if not match[2] and 1 < value <= 100 else ""
        raise ItemError(f"{shown} is not between 0 and 1 (0 % and 100 %){hint}")
    return value


def _value_and_known(data: bytes) -> tuple[float, bool]:
    share = read_share(data)
    return (0.0, False) if share is None else (share, True)


def read_shares(items: Iterable[bytes]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], list[str]]:
    """Shares [items, 1] (0 where none is known), whether each is known [items, 1], and why an item is bad, else ""."""
    read, errors = each(items, _value_and_known, "observation")
    pairs = [pair or (0.0, False) for pair in read]
    share = np.array([share for share, _ in pairs], dtype=np.float32).reshape(-1, 1)
    known = np.array([known for _, known in pairs], dtype=np.bool_).reshape(-1, 1)
    return share, known, errors
