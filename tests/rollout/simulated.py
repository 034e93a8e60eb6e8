"""Simulated traffic of a stable and a candidate: what a gateway would have written down, without a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from maas_rollout.gates.blocks import Block, Blocks
from maas_rollout.gates.metering import Request, Side

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
Generator = np.random.Generator


@dataclass(frozen=True)
class Behaviour:
    """One server.

    Attributes:
        p50_ms: median latency.
        spread: sigma of the logarithm of the latency.
        slow_share: of the requests that take ten times as long.
        errors: share of the requests that fail.
        hiccups_per_min: pauses of 0.2 s, in which all requests of this server wait.
        answers_until_s: it hangs from then on.
    """

    p50_ms: float = 5.0
    spread: float = 0.35
    slow_share: float = 0.01
    errors: float = 0.0
    hiccups_per_min: float = 2.0
    answers_until_s: float = float("inf")


@dataclass(frozen=True)
class Scene:
    """A whole step: requests per second, the candidate's share, and slow moments of the machine that both feel."""

    stable: Behaviour = Behaviour()
    candidate: Behaviour = Behaviour()
    per_s: float = 200.0
    share: float = 0.05
    length_s: float = 60.0
    slow_moments_per_min: float = 2.0


def requests(scene: Scene, seed: int) -> list[Request]:
    """All requests of a scene, in the order of their end."""
    random = np.random.default_rng(seed)
    count = int(random.poisson(scene.per_s * scene.length_s))
    starts = np.sort(random.uniform(0, scene.length_s, count))
    is_candidate = random.uniform(size=count) < scene.share
    slow = _moments(random, scene.slow_moments_per_min, scene.length_s)
    found = []
    for behaviour, side, mask in (
        (scene.stable, "stable", ~is_candidate),
        (scene.candidate, "candidate", is_candidate),
    ):
        found += list(_of_side(random, behaviour, side, starts[mask], slow))
    return sorted(found, key=lambda request: request.at_s)


def _of_side(
    random: Generator, behaviour: Behaviour, side: Side, starts: Any, slow: list[tuple[float, float]]
) -> Iterator[Request]:
    latencies = behaviour.p50_ms * np.exp(behaviour.spread * random.standard_normal(len(starts)))
    latencies[random.uniform(size=len(starts)) < behaviour.slow_share] *= 10
    for begin, end in slow:
        latencies[(starts >= begin) & (starts < end)] *= 4
    last = starts[-1] if len(starts) else 0.0
    for begin, end in _moments(random, behaviour.hiccups_per_min, last, 0.2):
        waiting = (starts >= begin) & (starts < end)
        latencies[waiting] += 1000 * (end - starts[waiting])
    failed = random.uniform(size=len(starts)) < behaviour.errors
    for start, latency, fails in zip(starts, latencies, failed, strict=True):
        if start < behaviour.answers_until_s:
            at_s = START.timestamp() + start + latency / 1000
            yield Request(at_s, side, ("http", 1), float(latency), 1, bool(fails), False)


def _moments(random: Generator, per_min: float, length_s: float, each_s: float = 1.5) -> list[tuple[float, float]]:
    count = int(random.poisson(per_min * length_s / 60))
    return [(begin, begin + each_s) for begin in random.uniform(0, length_s, count)]


class SimulatedTraffic:
    """Stands in for :class:`maas_rollout.gates.traffic.Traffic`: time goes on by calling :meth:`go_on`."""

    def __init__(self, found: list[Request]) -> None:
        self._requests = found
        self._cut = Blocks(START.timestamp())
        self._blocks: list[Block] = []
        self._now_s = START.timestamp()

    def go_on(self, seconds: float = 1.0) -> None:
        end_s = self._now_s + seconds
        new = [request for request in self._requests if self._now_s <= request.at_s < end_s]
        self._now_s = end_s
        self._blocks += self._cut.add(new, end_s)

    def since(self, since: datetime) -> list[Block]:
        assert since == START
        return self._blocks


def verdicts(gate_of: Callable[[Any], Any], scene: Scene, seed: int) -> list[str]:
    """What a gate says at each second of a scene."""
    traffic = SimulatedTraffic(requests(scene, seed))
    gate = gate_of(traffic)
    said = []
    for _ in range(int(scene.length_s)):
        traffic.go_on()
        said.append(gate.judge("digits", START).verdict)
    return said
