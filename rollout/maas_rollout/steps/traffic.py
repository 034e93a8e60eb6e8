"""Steps that give callers to the candidate, or requests to compare, and hold them while gates judge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from maas_core.errors import NotHeld, NotReachable
from maas_rollout.ports import Gate, GateContext, Judgement, Verdict
from maas_rollout.state import RolloutState
from maas_rollout.steps.trial import is_serving, require_candidate
from maas_rollout.world import World

_ALL = 100
_JUDGE_S = 1.0
_NO_PROOF = "no proof within {:g} s after the interval: {}"


class SplitTraffic(ABC):
    """A share of the callers, or of requests to compare, is the candidate's, and gates judge."""

    name = ""

    @abstractmethod
    def split(self, state: RolloutState) -> tuple[int, int]:
        """The shares of callers and of mirrored requests while it stands, in per cent."""

    def requires(self, world: World) -> None:
        """The candidate serves what it should, and the gateway is not another rollout's."""
        require_candidate(world)
        wait_for_gateway(world)

    def apply(self, world: World) -> bool:
        """Switches the callers, or mirrors."""
        percent, mirrored = self.split(world.state)
        return world.gateway.set_split(
            world.versions, world.candidate.address(), percent=percent, mirror_percent=mirrored
        )


class Weight(SplitTraffic):
    """A share of the callers is the candidate's, and the gates say go.

    Args:
        percent: the share.
        judged: whether it is held at least an interval and gates decide; otherwise it is only passed through.
    """

    def __init__(self, percent: int, *, judged: bool = True) -> None:
        self.name = f"weight-{percent}"
        self._percent = percent
        self._judged = judged

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        mirrored = self.split(state)[1]
        compared = f", the answers to {mirrored} % of all requests compared" if mirrored else ""
        held = f", held {state.settings.interval_s:g} s, gates decide" if self._judged else ""
        return f"{self._percent} % of the callers to the second server{compared}{held}"

    def split(self, state: RolloutState) -> tuple[int, int]:
        """Answers are compared while both servers have callers."""
        return (self._percent, state.settings.mirror_percent if self._percent < _ALL else 0)

    def ensures(self, world: World) -> dict[str, Any]:
        """The split is in effect, and the gates say go."""
        if world.gateway.split(world.state.model)[0] != self._percent:
            raise NotHeld(f"the gateway does not route {self._percent} % to the candidate")
        evidence = hold(world, self.name) if self._judged else {}
        return {"percent": self._percent, "gates": evidence}


class Shadow(SplitTraffic):
    """Requests are asked of both servers, callers get the stable one's answer, and the answers agree."""

    name = "shadow"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"compare the answers to {state.settings.mirror_percent} % of the requests, unseen by callers"

    def split(self, state: RolloutState) -> tuple[int, int]:
        """No callers."""
        return (0, state.settings.mirror_percent)

    def ensures(self, world: World) -> dict[str, Any]:
        """The gates say go."""
        return {"mirror_percent": world.state.settings.mirror_percent, "gates": hold(world, self.name)}


class ReturnTraffic:
    """All callers are the stable server's again, which now has the new version."""

    name = "return-traffic"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return "all callers back to the stable server; sequences that live on the second one stay there"

    def requires(self, world: World) -> None:
        """The stable server has the new versions; where it is away, callers stay where they are."""
        world.wait_until(lambda: _serves_new(world), world.patience_s, "the stable server has the new versions ready")

    def apply(self, world: World) -> bool:
        """Switches the callers; the candidate stays known to the gateway."""
        return world.gateway.set_split(world.versions, world.candidate.address(), percent=0)

    def ensures(self, world: World) -> dict[str, Any]:
        """Nobody new comes to the candidate."""
        if world.gateway.split(world.state.model) != (0, 0):
            raise NotHeld("the gateway still routes callers to the candidate")
        return {"percent": 0}


def hold(world: World, step: str) -> dict[str, Any]:
    """Holds a share while gates judge; returns their evidence when all say go after at least one interval.

    Time in which the rollout is paused is time of neither the interval nor the hold limit.

    Raises:
        NotHeld: where one says back, the candidate is gone, or nothing is proven within the hold limit.
    """
    settings = world.state.settings
    gates = world.gates_for(_context(world))
    since, now = world.clock.now(), world.clock.monotonic_s()
    held_s, next_look, told = 0.0, now, ""
    while True:
        world.poll()
        before, now = now, world.clock.monotonic_s()
        if not world.state.paused:
            held_s += now - before
        if now >= next_look:
            next_look = now + min(_JUDGE_S, max(settings.interval_s / 4, 0.05))
            judgement = _ask_all(gates, world, since)
            if judgement.verdict != told:
                told = judgement.verdict
                _note(world, step, judgement)
            if judgement.verdict == "back":
                raise NotHeld("; ".join(judgement.reasons))
            if not world.state.paused and held_s >= settings.interval_s:
                if judgement.verdict == "go":
                    return judgement.evidence
                if held_s >= settings.interval_s + settings.hold_s:
                    raise NotHeld(_NO_PROOF.format(settings.hold_s, "; ".join(judgement.reasons)))
        world.wait()


def wait_for_gateway(world: World) -> None:
    """A gateway knows one second server: while another rollout has its candidate there, this one waits."""
    while not world.gateway.is_free_for(world.models):
        world.wait()


def _context(world: World) -> GateContext:
    state = world.state
    return GateContext(
        model=state.model,
        unit=state.to,
        gateway_state=Path(state.settings.gateway_state),
        repository=state.repository,
        stable=world.server.address,
        candidate=world.candidate.address,
        objective=state.settings.objective,
        interval_s=state.settings.interval_s,
        max_different=state.settings.max_different,
    )


def _ask_all(gates: Sequence[Gate], world: World, since: datetime) -> Judgement:
    """The judgements of all gates as one: the worst verdict, its reasons, everybody's evidence."""
    if world.candidate.address() is None:
        return Judgement("back", ["the candidate is gone"])
    judgements = {gate.name: _ask(gate, world.state.model, since) for gate in gates}
    evidence = {
        name: {"verdict": one.verdict, "reasons": one.reasons, **one.evidence} for name, one in judgements.items()
    }
    worst: Verdict
    for worst in ("back", "hold"):
        said = {name: one.reasons for name, one in judgements.items() if one.verdict == worst}
        if said:
            return Judgement(worst, [f"{name}: {'; '.join(reasons)}" for name, reasons in said.items()], evidence)
    return Judgement("go", ["every gate says go"], evidence)


def _ask(gate: Gate, model: str, since: datetime) -> Judgement:
    try:
        return gate.judge(model, since)
    except NotReachable as error:
        return Judgement("hold", [f"no data: {error.message}"])


def _note(world: World, step: str, judgement: Judgement) -> None:
    data = {"step": step, "verdict": judgement.verdict, "reasons": judgement.reasons, "evidence": judgement.evidence}
    world.append("judged", data)


def _serves_new(world: World) -> bool:
    return is_serving(world.server, world.state.to)
