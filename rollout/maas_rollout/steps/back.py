"""Steps of the way back. Each does nothing where there is nothing to undo, whatever happened before."""

from __future__ import annotations

from typing import Any

from maas_core.errors import NotHeld
from maas_core.releases import released_versions
from maas_rollout.state import RolloutState
from maas_rollout.steps.finish import retire, retired
from maas_rollout.steps.prepare import named
from maas_rollout.steps.switch import switch
from maas_rollout.steps.trial import is_serving
from maas_rollout.world import World


class RestoreStable:
    """The stable server serves what it served before. Where it was never asked for anything else, this is left out."""

    name = "restore-stable"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"the stable server serves {named(state.before)}"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Pins the versions before, where others are pinned, and waits until they are served."""
        released = released_versions(world.state.repository)
        before = world.state.before
        if all(released.get(model, version) == version for model, version in before.items()):
            return False
        return switch(world, before)

    def ensures(self, world: World) -> dict[str, Any]:
        """They are ready: callers may come back."""
        before = world.state.before
        world.wait_until(lambda: is_serving(world.server, before), world.patience_s, f"{named(before)} are ready")
        return {"versions": before}


class RestoreTraffic:
    """All callers are the stable server's."""

    name = "restore-traffic"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return "all callers back to the stable server"

    def requires(self, world: World) -> None:
        """The stable server has the versions before; where it is away, callers stay where they are."""
        before = world.state.before
        world.wait_until(lambda: is_serving(world.server, before), world.patience_s, f"{named(before)} are ready")

    def apply(self, world: World) -> bool:
        """Switches the callers; another rollout's split is left alone."""
        if not world.gateway.is_free_for(world.models):
            return False
        return world.gateway.set_split(world.versions, world.candidate.address(), percent=0)

    def ensures(self, world: World) -> dict[str, Any]:
        """Nobody new comes to the candidate."""
        if world.gateway.split(world.state.model) != (0, 0):
            raise NotHeld("the gateway still routes callers to the candidate")
        return {"percent": 0}


class StopCandidate:
    """The candidate is drained and gone."""

    name = "stop-candidate"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return "drain and stop the second server"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Drains and stops it."""
        return retire(world)

    def ensures(self, world: World) -> dict[str, Any]:
        """It is gone."""
        return retired(world)
