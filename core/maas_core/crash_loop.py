"""When to start again what has ended, and when to leave it."""

from __future__ import annotations

STABLE_S = 5.0
"""What lived this long was not in a crash loop."""
CRASH_LIMIT = 3
_LONGEST_DELAY_S = 30.0


class CrashLoop:
    """Counts the short lives in a row of one thing: a server, or the stubs of one model."""

    def __init__(self) -> None:
        self.count = 0

    def record(self, lived_s: float) -> None:
        """Notes an end after ``lived_s`` seconds of work."""
        self.count = 1 if lived_s >= STABLE_S else self.count + 1

    def reset(self) -> None:
        """Begins anew: the cause was found and removed."""
        self.count = 0

    @property
    def delay_s(self) -> float:
        """How long to wait before the next start: none after the first end, then 1, 2, 4 … 30 seconds."""
        return 0.0 if self.count < 2 else min(2.0 ** (self.count - 2), _LONGEST_DELAY_S)

    @property
    def limit_reached(self) -> bool:
        """Whether it ended too often in a row to be started again as it is."""
        return self.count >= CRASH_LIMIT
