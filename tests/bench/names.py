"""What is to be measured, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from maas_core.errors import WrongUse

T = TypeVar("T")


def named(text: str, known: Mapping[str, T], kind: str) -> dict[str, T]:
    """The part of ``known`` that the names in ``text``, commas between them, stand for.

    Raises:
        WrongUse: there is no such thing.
    """
    names = text.split(",")
    unknown = [one for one in names if one not in known]
    if unknown:
        raise WrongUse(f"{', '.join(unknown)}: no such {kind}", f"there are {', '.join(known)}")
    return {one: known[one] for one in names}
