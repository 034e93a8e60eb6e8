"""A recorded trace as a schedule: the same models at the same distances, with requests of our own making.

A trace tells when what was called, not what was in it. Requests of one sequence become one sequence that starts with
the first of them; its steps follow as they are answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maas_core.errors import WrongUse
from maas_loadtest.arrivals import MAX_REQUESTS, Stage
from maas_loadtest.schedule import Schedule, mark
from maas_loadtest.settings import LONGEST_S, ModelChoice, Settings
from maas_loadtest.traces import TracedRequest, read_trace

_NS = 1_000_000_000
_SHORTEST_S = 0.001


@dataclass(frozen=True)
class Replay:
    """What a trace asks for.

    Attributes:
        choices: each kind of request once.
        at_s: when each request (or sequence) starts, at the wanted speed.
        choice: which kind each is.
    """

    choices: tuple[ModelChoice, ...]
    at_s: Sequence[float]
    choice: Sequence[int]

    @property
    def duration_s(self) -> float:
        """From the start of the trace to its last request."""
        return max(_SHORTEST_S, self.at_s[-1])

    @property
    def stages(self) -> tuple[Stage, ...]:
        """One, with the mean rate."""
        return (Stage(self.duration_s, len(self.at_s) / self.duration_s),)

    def schedule(self, distinct: Sequence[int], rng: np.random.Generator, check_share: float) -> Schedule:
        """The schedule.

        Args:
            distinct: how many requests were prepared for each choice; they lie one after another.
            rng: draws which of them is sent, and which answers are compared.
            check_share: share of the compared answers.
        """
        starts = np.cumsum([0, *distinct])[:-1]
        choice = np.asarray(self.choice)
        draws = rng.random(len(choice)) * np.asarray(distinct)[choice]
        request = (starts[choice] + draws.astype(np.int64)).astype(np.int32)
        at_ns = np.round(np.asarray(self.at_s) * _NS).astype(np.int64)
        return Schedule(at_ns, request, mark(rng, len(choice), check_share), self.duration_s)


def replayed(settings: Settings) -> Replay:
    """The trace that the settings name.

    Raises:
        WrongUse: there is none, or it can not be read.
    """
    if not settings.trace:
        raise WrongUse("replay needs a trace", "name it with --trace FILE; `maas load record` writes one")
    requests = read_trace(Path(settings.trace)).requests
    if len(requests) > MAX_REQUESTS:
        raise WrongUse(f"{settings.trace} holds {len(requests):,} requests, at most {MAX_REQUESTS:,} can be replayed")
    if requests[-1].at_s / settings.speed > LONGEST_S:
        lasts = f"{requests[-1].at_s / settings.speed:.3g} s"
        raise WrongUse(f"{settings.trace} lasts {lasts}, the limit is {LONGEST_S:.0f} s", "raise --speed, or cut it")
    steps: dict[tuple[str, str], int] = {}
    for request in requests:
        if request.sequence:
            key = (request.model, request.sequence)
            steps[key] = steps.get(key, 0) + 1
    kinds: dict[tuple[str, int, int, int], int] = {}
    at_s, choice, seen = [], [], set()
    for request in requests:
        sequence = (request.model, request.sequence)
        if sequence in seen:
            continue
        if request.sequence:
            seen.add(sequence)
        kind = _kind(request, steps.get(sequence, 0))
        at_s.append(request.at_s / settings.speed)
        choice.append(kinds.setdefault(kind, len(kinds)))
    counts = np.bincount(choice)
    choices = tuple(
        ModelChoice(model, str(version) if version else "", float(counts[number]), items, length)
        for (model, version, items, length), number in kinds.items()
    )
    return Replay(choices, at_s, choice)


def _kind(request: TracedRequest, steps: int) -> tuple[str, int, int, int]:
    return (request.model, request.version, request.items, steps)
