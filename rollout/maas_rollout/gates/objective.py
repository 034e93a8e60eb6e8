"""The gate on what callers were promised: the candidate must not miss an objective that the stable keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from maas_rollout.gates.blocks import Block, SideOfBlock
from maas_rollout.gates.comparing import ComparingGate, percent, rounded
from maas_rollout.gates.sequential import LARGER, Marked, ShareTest
from maas_rollout.gates.settings import GateSettings
from maas_rollout.gates.traffic import Traffic
from maas_rollout.ports import Judgement, Objective

_MOST_PER_BLOCK = 10.0
_RESTART_EVERY = 5
_BEYOND_P99 = 0.01
_LEAST_ERROR_RATE = 0.001
"""Where no error at all is promised: one that happens refutes nothing yet."""
_NEARLY_ALL = 0.99


@dataclass
class _Counted:
    """Of how many requests how many miss the objective."""

    missed: int = 0
    requests: int = 0

    def __iadd__(self, more: _Counted) -> _Counted:
        self.missed += more.missed
        self.requests += more.requests
        return self

    @property
    def share(self) -> float:
        return self.missed / max(1, self.requests)

    @property
    def share_at_most(self) -> float:
        """The share that these counts still allow: two standard deviations of a Poisson count above it."""
        return (self.missed + 2 * math.sqrt(self.missed + 1)) / max(1, self.requests)


class _Promise:
    """One part of the objective: at most a share of the requests may miss it.

    Args:
        limit: that share.
        count: counts the requests of one side of a block.
    """

    def __init__(self, limit: float, count: Callable[[SideOfBlock], _Counted]) -> None:
        self._limit = limit
        self._count = count
        # Odds ratios to a share that is allowed: the same test as for a share that two servers have alike.
        self._test = ShareTest(LARGER, most_per_block=_MOST_PER_BLOCK, restart_every=_RESTART_EVERY)
        self.candidate, self.stable = _Counted(), _Counted()

    def add(self, block: Block) -> None:
        ours, theirs = self._count(block.candidate), self._count(block.stable)
        self.candidate += ours
        self.stable += theirs
        # What the stable misses, too, at this moment or all the time, is no fault of the candidate.
        allowed = min(max(self._limit, self.stable.share_at_most, theirs.share), _NEARLY_ALL)
        self._test.add([Marked(ours.missed, ours.requests - ours.missed, allowed)])

    @property
    def peak(self) -> float:
        return self._test.peak

    @property
    def value(self) -> float:
        return self._test.value


class ObjectiveGate(ComparingGate):
    """Back where the candidate is proven to miss the objective while the stable keeps it.

    It asks for no proof that the objective is kept: at a small weight that takes too many requests; the gates that
    compare with the stable ask for theirs.

    Args:
        traffic: of the model.
        settings: the limits.
        is_shadow: see :class:`ComparingGate`.
        objective: what was promised (``--slo``).
    """

    name = "objective"

    def __init__(
        self, traffic: Traffic, settings: GateSettings, is_shadow: Callable[[], bool], objective: Objective
    ) -> None:
        super().__init__(traffic, settings, is_shadow)
        self._objective = objective

    def _begin(self) -> None:
        p99_ms, error_rate = self._objective.p99_ms, self._objective.error_rate
        self._promises = {
            f"take longer than {p99_ms:g} ms (promised: {percent(_BEYOND_P99)})": _Promise(
                _BEYOND_P99, partial(_slower, p99_ms)
            ),
            f"fail (promised: {percent(error_rate)})": _Promise(max(error_rate, _LEAST_ERROR_RATE), _failed),
        }

    def _add(self, block: Block) -> None:
        for promise in self._promises.values():
            promise.add(block)

    def _judge(self, blocks: Sequence[Block]) -> Judgement:
        evidence = {
            "p99_ms": self._objective.p99_ms,
            "error_rate": self._objective.error_rate,
            "back_from": rounded(self._settings.alarm),
        }
        words: dict[str, str] = {}
        for name, (what, promise) in zip(("slow", "failed"), self._promises.items(), strict=True):
            evidence[f"candidate_{name}"] = rounded(promise.candidate.share)
            evidence[f"stable_{name}"] = rounded(promise.stable.share)
            evidence[f"evidence_{name}"] = rounded(promise.peak)
            ours, theirs = percent(promise.candidate.share), percent(promise.stable.share)
            words[what] = f"of the candidate's requests {ours}, of the stable's {theirs} {what}"
        missed = [words[what] for what, promise in self._promises.items() if promise.peak >= self._settings.alarm]
        if missed:
            return Judgement("back", missed, evidence)
        doubted = [words[what] for what, one in self._promises.items() if one.value >= self._settings.doubt]
        if doubted:
            return Judgement("hold", [f"{one}: too many to go on, too few to be sure" for one in doubted], evidence)
        return Judgement("go", list(words.values()), evidence)


def _slower(p99_ms: float, side: SideOfBlock) -> _Counted:
    latencies = [one for found in side.latencies_ms.values() for one in found]
    return _Counted(sum(one > p99_ms for one in latencies), len(latencies))


def _failed(side: SideOfBlock) -> _Counted:
    return _Counted(side.failed, side.requests)
