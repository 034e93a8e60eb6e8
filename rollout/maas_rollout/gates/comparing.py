"""What the gates share that compare the two servers at the same time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime

from maas_rollout.gates.blocks import Block
from maas_rollout.gates.settings import GateSettings
from maas_rollout.gates.traffic import Traffic
from maas_rollout.ports import Judgement


class ComparingGate(ABC):
    """Feeds each block of traffic to its tests once, and begins anew when the weight changes.

    Args:
        traffic: of the model; several gates share it.
        settings: the limits.
        is_shadow: whether requests are mirrored to the candidate and none is routed to it: then there is nothing to
            compare, and nothing to wait for.
    """

    name = ""

    def __init__(self, traffic: Traffic, settings: GateSettings, is_shadow: Callable[[], bool]) -> None:
        self._traffic = traffic
        self._settings = settings
        self._is_shadow = is_shadow
        self._since: datetime | None = None
        self._seen = 0

    def judge(self, model: str, since: datetime) -> Judgement:
        """See :class:`maas_rollout.ports.Gate`."""
        if self._is_shadow():
            return Judgement("go", ["the candidate has no callers yet"])
        if since != self._since:
            self._since, self._seen = since, 0
            self._begin()
        blocks = self._traffic.since(since)
        for block in blocks[self._seen :]:
            self._add(block)
        self._seen = len(blocks)
        return self._judge(blocks)

    @abstractmethod
    def _begin(self) -> None:
        """A new weight: no evidence yet."""

    @abstractmethod
    def _add(self, block: Block) -> None:
        """Takes one block in."""

    @abstractmethod
    def _judge(self, blocks: Sequence[Block]) -> Judgement:
        """Says what all blocks together mean."""


def percent(part: float) -> str:
    """A share in words."""
    return f"{100 * part:.2f} %"


def rounded(value: float) -> float:
    """A figure as it goes into the journal: four digits say all."""
    return float(f"{value:.4g}")
