"""A value for "not given", where None has a meaning of its own."""

from __future__ import annotations

from enum import Enum


class Unset(Enum):
    """The type of :data:`UNSET`."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET = Unset.UNSET
