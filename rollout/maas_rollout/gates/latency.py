"""The gate on latency: a request must not take much longer on the candidate than on the stable at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from maas_rollout.gates.blocks import Block, joined, quantile_ms
from maas_rollout.gates.comparing import ComparingGate, rounded
from maas_rollout.gates.sequential import LARGER, SMALLER, Marked, ShareTest
from maas_rollout.gates.settings import GateSettings
from maas_rollout.gates.traffic import Traffic
from maas_rollout.ports import Judgement

_BLOCKS_OF_PART = {0.5: 1, 0.1: 1, 0.03: 5, 0.01: 5}
"""The slowest half, tenth, and so on (a candidate may be slower altogether, or only in its tail), and of how many
blocks together: short pauses make up the tail, and in one second only one of the two servers has one."""
_PART_OF_PROOF = 0.1
_MOST_PER_BLOCK = 10.0
_RESTART_EVERY = 5


class LatencyGate(ComparingGate):
    """Looks at which server the slowest requests of each second belong to, with the allowed slowdown taken off.

    A slow moment of the machine makes both slow and marks both. Where the stable is asked nothing (at 100 %) there is
    no such comparison, and the machine may have become slower since: then the objective is taken off, too.

    Args:
        traffic: of the model.
        settings: the limits.
        is_shadow: see :class:`ComparingGate`.
        objective_p99_ms: what callers were promised.
    """

    name = "latency"

    def __init__(
        self, traffic: Traffic, settings: GateSettings, is_shadow: Callable[[], bool], objective_p99_ms: float
    ) -> None:
        super().__init__(traffic, settings, is_shadow)
        self._objective_p99_ms = objective_p99_ms

    def _begin(self) -> None:
        self._slower = {
            part: ShareTest(LARGER, most_per_block=_MOST_PER_BLOCK, restart_every=_RESTART_EVERY // blocks)
            for part, blocks in _BLOCKS_OF_PART.items()
        }
        self._pending: dict[float, list[Block]] = {part: [] for part in _BLOCKS_OF_PART}
        self._not_slower = ShareTest(SMALLER, most_per_block=_MOST_PER_BLOCK)
        self._peak = 1.0

    def _add(self, block: Block) -> None:
        for part, test in self._slower.items():
            self._pending[part].append(block)
            if len(self._pending[part]) == _BLOCKS_OF_PART[part]:
                test.add(self._slowest(joined(self._pending[part]), part))
                self._pending[part] = []
        self._not_slower.add(self._slowest(block, _PART_OF_PROOF))
        self._peak = max(self._peak, self._value)

    def _slowest(self, block: Block, part: float) -> list[Marked]:
        allowed, slack_ms = self._settings.max_slowdown, self._settings.slack_ms
        if not block.is_same_time:
            allowed, slack_ms = allowed * allowed, slack_ms + self._objective_p99_ms
        return block.slowest(part, allowed, slack_ms)

    @property
    def _value(self) -> float:
        return float(np.mean([test.value for test in self._slower.values()]))

    def _judge(self, blocks: Sequence[Block]) -> Judgement:
        requests = sum(block.candidate.requests for block in blocks)
        figures = _figures(blocks)
        proof = self._not_slower.value
        evidence = {
            **figures,
            "candidate_requests": requests,
            "evidence_slower": rounded(self._peak),
            "back_from": rounded(self._settings.alarm),
            "evidence_not_slower": rounded(proof),
            "go_from": self._settings.proof,
            "blocks": len(blocks),
            "blocks_not_at_the_same_time": sum(not block.is_same_time for block in blocks),
        }
        words = _words(figures)
        limit = f"{self._settings.max_slowdown:g} × as long and {self._settings.slack_ms:g} ms more"
        if self._peak >= self._settings.alarm:
            return Judgement("back", [f"{words}: requests take longer than {limit}"], evidence)
        doubts = ""
        if requests < self._settings.least_requests:
            doubts = f": fewer than {self._settings.least_requests} requests at this weight"
        elif self._value >= self._settings.doubt:
            doubts = ": too slow to go on, not sure enough to go back"
        elif proof < self._settings.proof:
            doubts = f": not yet proven that they take no longer than {limit}"
        return Judgement("hold" if doubts else "go", [f"{words}{doubts}"], evidence)


def _figures(blocks: Sequence[Block]) -> dict[str, Any]:
    found = {}
    for name in ("stable", "candidate"):
        sides = [getattr(block, name) for block in blocks]
        for quantile, word in ((0.5, "p50"), (0.99, "p99")):
            value = quantile_ms(sides, quantile)
            found[f"{name}_{word}_ms"] = None if value is None else rounded(value)
    return found


def _words(figures: dict[str, Any]) -> str:
    def both(name: str) -> str:
        p50, p99 = figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"]
        return "answered nothing" if p99 is None else f"p50 {p50:g} ms, p99 {p99:g} ms"

    return f"candidate: {both('candidate')}; stable: {both('stable')}"
