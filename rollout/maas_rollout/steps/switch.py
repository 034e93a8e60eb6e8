"""Steps that change what the stable server serves. It follows the journals: a pin is all that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maas_core.config import read_config
from maas_core.errors import NotHeld
from maas_rollout.ports import Side
from maas_rollout.state import PROMOTE, RolloutState
from maas_rollout.steps.prepare import named, require_pinned
from maas_rollout.steps.trial import is_serving, prove
from maas_rollout.world import World

_OLD_NEWS_S = 5.0
"""A reason that stood before the pin counts only when the server has had time to take it back."""
_LOOK_S = 0.5


class DrainStable:
    """The sequences that live on the stable server have ended, or it is known which have not."""

    name = "drain-stable"

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"wait up to {state.settings.drain_s:g} s for sequences that live on the stable server"

    def requires(self, world: World) -> None:
        """Nothing."""

    def apply(self, world: World) -> bool:
        """Waits only."""
        return False

    def ensures(self, world: World) -> dict[str, Any]:
        """Which sequences were still alive at the end."""
        return {"undrained": drained(world, "stable", world.state.before)}


class Promote:
    """The stable server has the new versions ready, says their digests and answers their golden samples."""

    name = PROMOTE

    def describe(self, state: RolloutState) -> str:
        """See :class:`maas_rollout.world.Step`."""
        return f"the stable server ({state.settings.stable_view}) loads {named(state.to) or 'the new version'}"

    def requires(self, world: World) -> None:
        """It answers; a release was proven on the candidate before."""
        if world.server.address() is None:
            world.wait_until(
                lambda: world.server.address() is not None,
                world.patience_s,
                f"the server of the view {world.state.settings.stable_view!r} runs",
            )
        if world.state.kind == "release" and "check" not in world.state.done:
            raise NotHeld("the new versions were not proven on the candidate")

    def apply(self, world: World) -> bool:
        """Pins them, and waits until they are served."""
        return switch(world, world.state.to)

    def ensures(self, world: World) -> dict[str, Any]:
        """Identity and answers, by the server that will serve them from now on."""
        require_pinned(world, world.state.to)
        return prove(world, world.server)


def switch(world: World, versions: dict[str, int]) -> bool:
    """Pins ``versions`` and returns when the stable server has exactly these ready.

    Raises:
        NotHeld: where it does not load one, with the reason; it goes on serving what it served.
        NotReachable: where it neither serves them nor says why within the load time.
    """
    before = world.server.failed() if world.server.address() is not None else {}
    changed = world.journal.pin(world.state.id, world.state.repository, versions)
    began = world.clock.monotonic_s()

    def serves() -> bool:
        if is_serving(world.server, versions):
            return True
        failed = world.server.failed()
        is_new = world.clock.monotonic_s() - began > _OLD_NEWS_S
        for model in versions:
            if model in failed and (is_new or failed[model] != before.get(model)):
                raise NotHeld(f"the stable server does not take over {model} {versions[model]}: {failed[model]}")
        return False

    world.wait_until(serves, world.state.settings.load_timeout_s, f"the stable server serves {named(versions)}")
    return changed


def drained(world: World, side: Side, versions: dict[str, int]) -> list[str]:
    """Waits for the live sequences of one server; returns those that were alive when the time was up."""
    stateful = _idle_times_s(world.state.repository, versions)
    if not stateful or not world.state.settings.use_gateway:
        return []
    return _wait_drained(world, side, list(stateful), max(stateful.values()))


def _wait_drained(world: World, side: Side, models: Sequence[str], idle_s: float) -> list[str]:
    deadline = world.clock.monotonic_s() + world.state.settings.drain_s
    while True:
        alive = world.gateway.live_sequences(models, side, idle_s)
        if not alive or world.clock.monotonic_s() >= deadline:
            return alive
        world.wait(_LOOK_S)


def _idle_times_s(repository: Path, versions: dict[str, int]) -> dict[str, float]:
    """How long a sequence of each stateful model may rest before its state is dropped."""
    found: dict[str, float] = {}
    for model, version in versions.items():
        folder = repository / model / str(version)
        if version and folder.is_dir():
            config = read_config(folder)
            if config.HasField("sequence_batching"):
                found[model] = config.sequence_batching.max_sequence_idle_microseconds / 1e6
    return found
