"""Bringing servers and gateway to what the journals say. The repository and the journals are the truth."""

from __future__ import annotations

from maas_core.errors import NotHeld
from maas_core.releases import released_versions
from maas_rollout.engine import standing_steps
from maas_rollout.state import RolloutState
from maas_rollout.steps.prepare import named
from maas_rollout.steps.traffic import SplitTraffic
from maas_rollout.steps.trial import is_serving
from maas_rollout.world import World


def differences(world: World) -> list[str]:
    """What of the world is not as the journal says, a sentence each."""
    state = world.state
    problems: list[str] = []
    released = released_versions(state.repository)
    wanted = {model: released[model] for model in world.models if model in released}
    if not is_serving(world.server, wanted):
        problems.append(f"the stable server does not serve {named(wanted)}")
    candidate = _candidate_wanted(state)
    if candidate and not is_serving(world.candidate, state.to):
        problems.append(f"the candidate does not serve {named(state.to)}")
    if not candidate and world.candidate.address() is not None and not _may_run(state):
        problems.append("a candidate runs that no rollout needs")
    if state.settings.use_gateway and world.gateway.split(state.model) != split_wanted(state):
        got, want = world.gateway.split(state.model), split_wanted(state)
        problems.append(f"the gateway routes {got[0]} % and mirrors {got[1]} %, wanted {want[0]} % and {want[1]} %")
    return problems


def reconcile(world: World) -> list[str]:
    """Mends the differences and writes down what they were; returns them.

    Raises:
        NotHeld: where the stable server does not load what it should.
        NotReachable: where one side does not answer.
    """
    found = differences(world)
    state = world.state
    released = released_versions(state.repository)
    wanted = {model: released[model] for model in world.models if model in released}
    world.wait_until(
        lambda: _serves_or_says_why(world, wanted), state.settings.load_timeout_s, f"{named(wanted)} are ready"
    )
    for step in standing_steps(state):
        step.apply(world)
    if state.unattended and state.settings.use_gateway and world.gateway.is_free_for(world.models):
        world.gateway.set_split(world.versions, world.candidate.address(), percent=0)
    if not _may_run(state):
        if state.settings.use_gateway and world.gateway.is_free_for(world.models):
            world.gateway.set_split(world.versions, None)
        world.candidate.stop(state.settings.drain_s)
    if found:
        world.append("reconciled", {"differences": found})
    return found


def split_wanted(state: RolloutState) -> tuple[int, int]:
    """The shares of callers and of mirrored requests that the journal says are the candidate's, in per cent."""
    traffic = [step for step in standing_steps(state) if isinstance(step, SplitTraffic)]
    return traffic[-1].split(state) if traffic else (0, 0)


def _candidate_wanted(state: RolloutState) -> bool:
    return any(step.name == "candidate" for step in standing_steps(state))


def _may_run(state: RolloutState) -> bool:
    """Whether the rollout is under way and has not come to the end of its candidate."""
    return not state.outcome and state.direction == "forward"


def _serves_or_says_why(world: World, wanted: dict[str, int]) -> bool:
    if is_serving(world.server, wanted):
        return True
    failed = {model: why for model, why in world.server.failed().items() if model in wanted}
    if failed:
        raise NotHeld(
            "; ".join(f"the stable server does not take over {model}: {why}" for model, why in failed.items())
        )
    return False
