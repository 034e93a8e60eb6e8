"""Work on the items of a batch, each by itself; needs no Triton."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOG = logging.getLogger(__name__)


class ItemError(ValueError):
    """An item that cannot be used; the text is one line for the person who sent it."""


def each(items: Iterable[Item], work: Callable[[Item], Result], what: str) -> tuple[list[Result | None], list[str]]:
    """Does ``work`` on every item; a bad one does not harm the others.

    Args:
        items: of one request.
        work: raises :class:`ItemError` for an item that cannot be used.
        what: an item, for the error of one that nobody foresaw, e.g. ``picture``.

    Returns:
        The results, ``None`` for bad items, and for each item why it is bad, "" where it is not.
    """
    results: list[Result | None] = []
    errors: list[str] = []
    for item in items:
        result, reason = None, ""
        try:
            result = work(item)
        except ItemError as error:
            reason = str(error)
        except Exception:  # noqa: BLE001  # one unforeseen item must not take the others of its batch with it
            _LOG.exception("a %s could not be read", what)
            reason = f"the {what} could not be read; the server's log says why"
        results.append(result)
        errors.append(reason)
    return results, errors
