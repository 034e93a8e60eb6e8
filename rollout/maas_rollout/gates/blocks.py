"""Cutting the traffic into blocks of time: compared is only what happened on both servers at the same time."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from maas_rollout.gates.metering import Request
from maas_rollout.gates.sequential import Marked

Floats = npt.NDArray[np.float64]
Stratum = tuple[str, int]

BLOCK_S = 1.0
_LAG_S = 1.5
"""How long after its end a request may be written down."""
_LEAST_PER_SIDE = 5
_LONGEST_S = 10.0
_REMEMBERED = 500
_FAR_MORE = 50


@dataclass
class SideOfBlock:
    """What one server did in a block: latencies by stratum, and counts."""

    latencies_ms: dict[Stratum, list[float]] = field(default_factory=lambda: defaultdict(list))
    requests: int = 0
    items: int = 0
    failed: int = 0
    refused: int = 0

    def add(self, request: Request) -> None:
        """Counts one request; the time that a failed one took says nothing about speed."""
        self.requests += 1
        self.items += request.items
        self.failed += request.failed
        self.refused += request.refused
        if not request.failed and not request.refused:
            self.latencies_ms[request.stratum].append(request.latency_ms)


@dataclass
class Block:
    """A stretch of time.

    Attributes:
        start_s: seconds since the epoch.
        length_s: one second, or more where little is asked.
        is_same_time: whether the stable's requests are of this time, too.
    """

    start_s: float
    length_s: float = BLOCK_S
    stable: SideOfBlock = field(default_factory=SideOfBlock)
    candidate: SideOfBlock = field(default_factory=SideOfBlock)
    is_same_time: bool = True

    @property
    def share(self) -> float:
        """The candidate's share of all requests."""
        return self.candidate.requests / max(1, self.candidate.requests + self.stable.requests)

    @property
    def is_comparable(self) -> bool:
        """Whether both were asked."""
        return self.candidate.requests > 0 and self.stable.requests > 0

    def marked(self, event: str) -> list[Marked]:
        """The requests with ``event`` ("failed" or "refused"), as :class:`ShareTest` takes them."""
        if not self.is_comparable:
            return []
        return [Marked(getattr(self.candidate, event), getattr(self.stable, event), self.share)]

    def slowest(self, part: float, max_slowdown: float, slack_ms: float) -> list[Marked]:
        """The slowest ``part`` of the requests of each stratum, with the allowed slowdown taken off the candidate's."""
        found = []
        for stratum, ours in self.candidate.latencies_ms.items():
            theirs = self.stable.latencies_ms.get(stratum)
            if theirs:
                candidate = (np.array(ours) - slack_ms) / max_slowdown
                found.append(_marked(candidate, np.array(theirs), part))
        return found


def joined(blocks: Sequence[Block]) -> Block:
    """Several blocks as one."""
    whole = Block(blocks[0].start_s, sum(block.length_s for block in blocks))
    whole.is_same_time = all(block.is_same_time for block in blocks)
    for block in blocks:
        for side, more in ((whole.stable, block.stable), (whole.candidate, block.candidate)):
            side.requests += more.requests
            side.items += more.items
            side.failed += more.failed
            side.refused += more.refused
            for stratum, latencies_ms in more.latencies_ms.items():
                side.latencies_ms[stratum] += latencies_ms
    return whole


def _marked(candidate: Floats, stable: Floats, part: float) -> Marked:
    together = np.concatenate([candidate, stable])
    count = max(1, int(np.ceil(part * len(together))))
    if count >= len(together):
        return Marked(0, 0, 0.5)
    # The next slower one than those that are marked: with ties fewer are marked, never more.
    limit = np.partition(together, -count - 1)[-count - 1]
    return Marked(int((candidate > limit).sum()), int((stable > limit).sum()), len(candidate) / len(together))


class Blocks:
    """Collects requests and gives back blocks that are over.

    A block lasts a second, or longer until either server answered a few requests. A stretch in which the stable is
    asked nothing (at 100 %) is compared with its last requests: that is not the same time, and the block says so.

    Args:
        since_s: where the first block begins, seconds since the epoch; of what is older, the stable's is remembered.
    """

    def __init__(self, since_s: float) -> None:
        self._open = Block(since_s, 0.0)
        self._waiting: list[Request] = []
        self._last_of_stable: deque[Request] = deque(maxlen=_REMEMBERED)

    def add(self, requests: Iterable[Request], now_s: float) -> list[Block]:
        """The blocks that ended.

        Args:
            requests: new ones, in the order of their end.
            now_s: the time now; what ended longer ago is taken to be complete.
        """
        self._waiting = sorted([*self._waiting, *requests], key=lambda request: request.at_s)
        done = []
        while self._open.start_s + self._open.length_s + BLOCK_S <= now_s - _LAG_S:
            self._open.length_s += BLOCK_S
            end_s = self._open.start_s + self._open.length_s
            self._take_until(end_s)
            if self._is_enough():
                done.append(self._closed())
                self._open = Block(end_s, 0.0)
        return done

    def _take_until(self, end_s: float) -> None:
        count = next((i for i, request in enumerate(self._waiting) if request.at_s >= end_s), len(self._waiting))
        for request in self._waiting[:count]:
            if request.side == "stable":
                self._last_of_stable.append(request)
            if request.at_s >= self._open.start_s:
                (self._open.stable if request.side == "stable" else self._open.candidate).add(request)
        del self._waiting[:count]

    def _is_enough(self) -> bool:
        least = min(self._open.stable.requests, self._open.candidate.requests)
        return least >= _LEAST_PER_SIDE or self._open.length_s >= _LONGEST_S or self._is_alone()

    def _is_alone(self) -> bool:
        """Whether the stable is asked (next to) nothing: at 100 % a few sequences may live on there."""
        return self._open.candidate.requests >= _FAR_MORE * max(1, self._open.stable.requests)

    def _closed(self) -> Block:
        block = self._open
        nothing = block.stable.requests == 0 and block.candidate.requests > 0
        if (nothing or self._is_alone()) and self._last_of_stable:
            block.is_same_time = False
            block.stable = SideOfBlock()
            for request in self._last_of_stable:
                block.stable.add(request)
        return block


def quantile_ms(blocks: Sequence[SideOfBlock], quantile: float) -> float | None:
    """A quantile of all latencies, in milliseconds; ``None`` without any."""
    values = [value for block in blocks for found in block.latencies_ms.values() for value in found]
    return float(np.quantile(values, quantile)) if values else None
