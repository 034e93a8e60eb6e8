"""When a failed call is worth another try, and how long to wait before it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from maas_client._deadline import Deadline
from maas_client.errors import (
    CircuitOpenError,
    ConnectionLostError,
    InternalServerError,
    MaasClientError,
    QuotaExceededError,
    RefusedValueError,
    ServerError,
    UnavailableError,
    UnreachableError,
)

_STUB_DIED = "is not healthy"
"""Triton's words when the process of a Python model is gone; the supervisor brings it back within a second or two."""


def is_transient(error: MaasClientError) -> bool:
    """Whether the same call may well succeed a little later."""
    if isinstance(error, QuotaExceededError):
        return error.retry_after_s is not None
    if isinstance(error, InternalServerError):
        return _STUB_DIED in error.message
    return isinstance(error, UnreachableError | ConnectionLostError | UnavailableError)


_TRITON_UNAVAILABLE = re.compile(r"maximum queue size|Request timeout expired|not ready|restricted|not healthy")
"""Triton's own words; any other "unavailable" may be that of a proxy whose server is still at work."""


def may_still_run(error: MaasClientError) -> bool:
    """Whether the server may still be working on the call that ended so: its own verdict did not come."""
    if isinstance(error, UnavailableError):
        return not _TRITON_UNAVAILABLE.search(error.message)
    return not isinstance(error, ServerError | UnreachableError | CircuitOpenError)


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeats calls that failed for a transient reason, within the call's deadline.

    The wait before attempt n + 1 is random between 0 and ``base_s`` x 2^(n-1), at most ``max_s`` ("full jitter":
    Brooker, "Exponential Backoff and Jitter", AWS 2015), on top of the server's ``Retry-After``.

    Attributes:
        attempts: how often a call is made at most; 1 never repeats.
        base_s: the longest first wait in seconds.
        max_s: the longest wait in seconds.

    Raises:
        RefusedValueError: a value makes no sense.
    """

    attempts: int = 3
    base_s: float = 0.1
    max_s: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base_s < 0 or self.max_s < self.base_s:
            raise RefusedValueError(f"Retry wants attempts >= 1 and 0 <= base_s <= max_s, got {self!r}")

    def pause_s(
        self, error: MaasClientError, attempt: int, deadline: Deadline, *, may_be_applied_twice: bool
    ) -> float | None:
        """Seconds to wait before the next attempt, or None where there must be none.

        Args:
            error: how the attempt failed.
            attempt: its number, from 1.
            deadline: the call's.
            may_be_applied_twice: False for a step of a sequence: only a call that never left is made again.
        """
        repeatable = is_transient(error) if may_be_applied_twice else isinstance(error, UnreachableError)
        if not repeatable or attempt >= self.attempts:
            return None
        ceiling_s = min(self.max_s, self.base_s * 2 ** (attempt - 1))
        pause_s = random.uniform(0, ceiling_s)  # noqa: S311  # spreads callers in time, guards nothing
        if isinstance(error, QuotaExceededError | UnavailableError) and error.retry_after_s is not None:
            pause_s += error.retry_after_s
        remaining_s = deadline.remaining_s()
        return pause_s if remaining_s is None or pause_s < remaining_s else None


NO_RETRY = Retry(attempts=1)
