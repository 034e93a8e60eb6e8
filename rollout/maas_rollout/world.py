"""What a step may use: where the rollout stands, and the world around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from maas_core.errors import ExitCode, MaasError, NotReachable
from maas_core.releases import NOT_SERVED
from maas_rollout.journal import Journal
from maas_rollout.ports import Candidate, Clock, Gate, GateContext, Gateway, LoadTest, Server
from maas_rollout.state import RolloutState, apply, fold

POLL_S = 0.05


class Turn(Exception):
    """People asked for another way than the one that the rollout is on.

    Args:
        to: ``back`` or ``promote``.
        why: their words.
        who: who asked.
    """

    def __init__(self, to: str, why: str, who: str) -> None:
        super().__init__(why)
        self.to, self.why, self.who = to, why, who


@dataclass(kw_only=True)
class Ports:
    """What one rollout works on; see :mod:`maas_rollout.ports`.

    Attributes:
        gates_for: makes the gates of one candidate.
        patience_s: how long something may be out of reach before a step fails for it.
    """

    gateway: Gateway
    server: Server
    candidate: Candidate
    load_test: LoadTest
    gates_for: Callable[[GateContext], Sequence[Gate]]
    clock: Clock
    patience_s: float = 30.0


@dataclass(kw_only=True)
class World(Ports):
    """Everything around one rollout.

    Attributes:
        state: where it stands; the engine brings it up to date after each entry.
        poll: looks whether people asked for something; raises :class:`Turn`.
    """

    state: RolloutState
    journal: Journal
    poll: Callable[[], None] = field(default=lambda: None)

    @property
    def models(self) -> list[str]:
        """The models that are released together."""
        return list(self.state.members)

    @property
    def versions(self) -> dict[str, int]:
        """The versions that are to serve, by model; 0 for one that is not published yet."""
        return {model: self.state.to.get(model, NOT_SERVED) for model in self.models}

    def refresh(self) -> RolloutState:
        """Reads anew where the rollout stands, as another process may have left it."""
        self.state = next(state for state in fold(self.journal.entries()) if state.id == self.state.id)
        return self.state

    def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Writes an entry of this rollout, and brings :attr:`state` up to date."""
        apply(self.state, self.journal.append(self.state.id, kind, data))

    def wait(self, seconds: float = POLL_S) -> None:
        """Lets time pass, and sees what people ask for meanwhile."""
        self.poll()
        self.clock.sleep(seconds)

    def wait_until(self, holds: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Waits for a condition.

        Raises:
            NotReachable: where it does not come true in time.
        """
        deadline = self.clock.monotonic_s() + timeout_s
        while not holds():
            if self.clock.monotonic_s() > deadline:
                raise NotReachable(f"{what}: not within {timeout_s:g} s")
            self.wait()


class Step(Protocol):
    """One step: ``requires``, then ``apply``, then ``ensures``; each may be called again at any time.

    Each raises NotHeld where something does not hold, NotReachable where it cannot be known.
    """

    name: str

    def describe(self, state: RolloutState) -> str:
        """What it does, in a few words."""
        ...

    def requires(self, world: World) -> None:
        """Refuses to begin where what it builds on is not there."""
        ...

    def apply(self, world: World) -> bool:
        """Changes the world; returns whether anything had to be changed."""
        ...

    def ensures(self, world: World) -> dict[str, Any]:
        """Proves that what was to be reached is so; returns the evidence."""
        ...


class Interrupted(MaasError):
    """The rollout stands still where it can neither go on nor back; ``resume`` goes on from there."""


class OutOfReach(Interrupted, NotReachable):
    """Interrupted because something does not answer."""

    exit_code = ExitCode.NOT_REACHABLE
