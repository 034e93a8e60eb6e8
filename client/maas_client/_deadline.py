"""One deadline for a call, kept over all that the call does."""

from __future__ import annotations

import time

from maas_client.errors import DeadlineExceededError, RefusedValueError

_NUMBERS = (int, float)
"""A union would be made anew for each call."""


LONGEST_S = 2e6
"""About 23 days: what sockets and event loops take as a time to wait is a little more."""


class Deadline:
    """A point on the monotonic clock, or none.

    Args:
        timeout_s: seconds from now; None is no deadline.

    Raises:
        RefusedValueError: ``timeout_s`` is not a positive number.
    """

    __slots__ = ("_at", "timeout_s")

    def __init__(self, timeout_s: float | None) -> None:
        if timeout_s is not None and not (isinstance(timeout_s, _NUMBERS) and 0 < timeout_s <= LONGEST_S):
            raise RefusedValueError(
                f"timeout_s is a positive number of seconds up to {LONGEST_S:.0f}, or None, got {timeout_s!r}"
            )
        self.timeout_s = timeout_s
        self._at = None if timeout_s is None else time.monotonic() + timeout_s

    def remaining_s(self) -> float | None:
        """Seconds left, never below 0; None without a deadline."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def error(self, model: str, endpoint: str, while_doing: str) -> DeadlineExceededError:
        """What is raised when it passed."""
        return DeadlineExceededError(
            f"{model or 'the server'} did not answer within {self.timeout_s} s ({while_doing}); pass a longer "
            "timeout_s",
            model=model,
            endpoint=endpoint,
        )
