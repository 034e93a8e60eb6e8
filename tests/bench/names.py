"""What is to be measured, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from maas_core.errors import WrongUse

T = TypeVar("T")


def named(text: str, known: Mapping[str, T], kind: str) -> list[T]:
    """What the names in ``text``, commas between them, stand for.

    Raises:
        WrongUse: there is no such thing.
    """
    unknown = [one for one in text.split(",") if one not in known]
    if unknown:
        raise WrongUse(f"{', '.join(unknown)}: no such {kind}", f"there are {', '.join(known)}")
    return [known[one] for one in text.split(",")]
