"""Steps after the promotion: the second server goes, and old versions beyond those to keep."""

from __future__ import annotations

from typing import Any

from maas_core.errors import NotHeld
from maas_rollout.prune import prune, superfluous
from maas_rollout.state import RolloutState
from maas_rollout.steps.switch import drained
from maas_rollout.world import World

_STOP_DRAIN_S = 30.0


class Retire:
    """The gateway no longer knows the candidate, and it has stopped; sequences on it could end before."""

    name = "retire"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"wait up to {state.settings.drain_s:g} s for sequences on the second server, then drain and stop it"

    def requires(self, world: World) -> None:
        """Nobody new may come to it."""
        if world.state.settings.use_gateway and world.gateway.split(world.state.model) != (0, 0):
            raise NotHeld("the gateway still routes callers to the candidate")

    def apply(self, world: World) -> bool:
        """Drains and stops it; one that runs no more has nothing to drain."""
        return retire(world)

    def ensures(self, world: World) -> dict[str, Any]:
        """It is gone."""
        return retired(world)


class Prune:
    """No more old versions than were to be kept."""

    name = "prune"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"remove old versions beyond the newest {state.settings.keep}"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Removes them."""
        return bool(prune(world.state.repository, world.models, world.state.settings.keep))

    def ensures(self, world: World) -> dict[str, Any]:
        """None is left over."""
        state = world.state
        left = [f"{v.model} {v.version}" for v in superfluous(state.repository, world.models, state.settings.keep)]
        if left:
            raise NotHeld(f"{', '.join(left)} should have been removed")
        return {}


def retired(world: World) -> dict[str, Any]:
    """Evidence that :func:`retire` did what it should.

    Raises:
        NotHeld: where the candidate still runs.
    """
    if world.candidate.address() is not None:
        raise NotHeld("the candidate still runs")
    return {"stopped": True}


def retire(world: World) -> bool:
    """Lets sequences end, takes the candidate out of the gateway, and stops it; tells what could not be drained."""
    runs = world.candidate.address() is not None
    undrained = drained(world, "candidate", world.state.to) if runs else []
    if undrained:
        data = {"side": "candidate", "sequences": undrained}
        world.append("undrained", data)
    changed = False
    if world.state.settings.use_gateway and world.gateway.is_free_for(world.models):
        changed = world.gateway.set_split(world.versions, None)
    world.candidate.stop(_STOP_DRAIN_S)
    return changed or runs
