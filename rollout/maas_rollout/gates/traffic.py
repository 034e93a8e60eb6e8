"""The traffic of one step of a rollout, in blocks: read once, looked at by every gate that compares the two servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from maas_rollout.gates.blocks import Block, Blocks
from maas_rollout.gates.metering import MeteringReader

_REMEMBER_S = 120.0
"""How far back the stable's requests are read, for the step at which it is asked nothing any more."""


class Traffic:
    """Both servers' requests of one model since the present weight was applied.

    Args:
        gateway_state: the gateway's state folder.
        model: the name that people call.
        now_s: the wall clock, seconds since the epoch.
    """

    def __init__(self, gateway_state: Path, model: str, now_s: Callable[[], float] = time.time) -> None:
        self._folder = gateway_state / "usage"
        self._model = model
        self._now_s = now_s
        self._since: datetime | None = None
        self._blocks: list[Block] = []

    def since(self, since: datetime) -> Sequence[Block]:
        """All blocks that are over; those of an earlier answer for the same ``since`` come first and unchanged."""
        if since != self._since:
            self._since = since
            self._reader = MeteringReader(self._folder, self._model, since.timestamp() - _REMEMBER_S)
            self._cut = Blocks(since.timestamp())
            self._blocks = []
        # The clock before the file: what is written between the two then counts for a later block, and is not lost.
        now_s = self._now_s()
        self._blocks += self._cut.add(self._reader.new(), now_s)
        return self._blocks
