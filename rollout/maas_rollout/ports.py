"""What a rollout needs of the world, as protocols: the engine knows these alone, so that it can be tried on a fake.

The real ones are in :mod:`maas_rollout.wiring`. Every call may raise :class:`maas_core.errors.NotReachable` where the
other side does not answer, and :class:`maas_core.errors.NotHeld` where it answers that something did not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

Verdict = Literal["go", "hold", "back"]
Side = Literal["stable", "candidate"]


@dataclass(frozen=True)
class Address:
    """Where one server answers; host and port without a scheme, e.g. ``127.0.0.1:8000``.

    Attributes:
        pid: the process that supervises it.
        triton_pid: the server itself.
        restarts: how often its supervisor has had to start it again.
    """

    http: str
    grpc: str
    metrics: str = ""
    pid: int = 0
    triton_pid: int = 0
    restarts: int = 0


@dataclass(frozen=True)
class Objective:
    """What callers were promised."""

    p99_ms: float
    error_rate: float


@dataclass(frozen=True)
class Judgement:
    """What a gate says of a candidate.

    Attributes:
        verdict: ``go`` where it is proven, ``back`` where it is refuted, ``hold`` where the data decide neither.
        reasons: a sentence each, with figures and units.
        evidence: the figures, as JSON can hold them; they go into the journal.
    """

    verdict: Verdict
    reasons: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GateContext:
    """What gates may look at.

    Attributes:
        model: the name that people call.
        unit: the version that the candidate serves of each model of the unit (one, or an ensemble and its steps).
        gateway_state: the gateway's state folder, with ``usage/requests.jsonl`` and ``mirror/differences.jsonl``.
        repository: the model repository (golden samples lie in the version folders).
        stable: asks for the stable server's address now; it may have been started again.
        candidate: likewise the candidate's; ``None`` where it is gone.
        interval_s: how long a weight is held at least.
        max_different: the share of mirrored requests whose answers may differ; ``None``: all of them.
    """

    model: str
    unit: Mapping[str, int]
    gateway_state: Path
    repository: Path
    stable: Callable[[], Address | None]
    candidate: Callable[[], Address | None]
    objective: Objective
    interval_s: float
    max_different: float | None = None


class Gate(Protocol):
    """One question that is asked again and again while a weight (or a mirror) is held.

    The engine asks every gate about once a second. One ``back`` takes the candidate out at once; the next weight needs
    ``go`` of all after at least one interval; ``hold`` for longer than the hold limit counts as ``back``.
    ``maas_rollout.gates.gates_for(context: GateContext) -> Sequence[Gate]`` makes them.
    """

    name: str

    def judge(self, model: str, since: datetime) -> Judgement:
        """Judges what happened after ``since`` (aware, UTC), when the present weight was applied."""
        ...


class Gateway(Protocol):
    """The one that routes callers."""

    def set_split(
        self, models: Mapping[str, int], candidate: Address | None, *, percent: int = 0, mirror_percent: int = 0
    ) -> bool:
        """Routes that share of the callers of each of ``models`` to ``candidate``, and waits until it is in effect.

        ``models`` says which version the candidate has of each: who asks for that one by number gets it there, who asks
        for another one from the stable server. Without a candidate these models have no split, and the gateway knows no
        second server. It waits also where nothing is to be changed: a call that was killed before may have written it
        and not seen it in effect.

        Returns:
            Whether anything changed: applying what is applied already changes nothing.
        """
        ...

    def split(self, model: str) -> tuple[int, int]:
        """The shares of callers and of mirrored requests that are written down for ``model``, in per cent."""
        ...

    def is_free_for(self, models: Sequence[str]) -> bool:
        """Whether no other model's candidate is the gateway's second server: it knows only one."""
        ...

    def live_sequences(self, models: Sequence[str], side: Side, idle_s: float) -> list[str]:
        """Correlation ids of sequences that asked ``side`` within the last ``idle_s`` seconds."""
        ...


class Server(Protocol):
    """The stable server. What it serves is written in the journals; it follows them by itself."""

    def address(self) -> Address | None:
        """Where it answers now; ``None`` where it does not run."""
        ...

    def ready_versions(self) -> dict[str, list[int]]:
        """The versions that are ready, by model."""
        ...

    def failed(self) -> dict[str, str]:
        """Why a model does not serve what it should, by model."""
        ...

    def digest(self, model: str, version: int) -> str | None:
        """The digest that the server itself says this ready version has; ``None`` where it does not say."""
        ...

    def check_golden(self, model: str, version: int) -> dict[str, Any]:
        """Asks the golden samples of that version, over HTTP and gRPC; returns the evidence.

        Raises:
            NotHeld: where an answer differs.
        """
        ...


class Candidate(Server, Protocol):
    """The second server, which outlives the process that started it."""

    def start(self, versions: Mapping[str, int]) -> None:
        """Starts it with exactly these versions and returns when they are ready; one that has them is left running.

        Raises:
            NotHeld: where one does not load, with the reason.
        """
        ...

    def stop(self, drain_timeout_s: float) -> None:
        """Drains and stops it; one that does not run is stopped already."""
        ...


class LoadTest(Protocol):
    """A short load test of one server, without the gateway."""

    def run(self, model: str, address: Address, objective: Objective) -> Judgement:
        """``go`` where the objective was held, ``back`` where not, ``hold`` where the measurement is not valid."""
        ...


class Clock(Protocol):
    """Time, so that a test need not wait for it."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic_s(self) -> float:
        """For durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Waits."""
        ...
