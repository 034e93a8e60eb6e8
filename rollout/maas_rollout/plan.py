"""Which steps a rollout takes, and in which order: a pure function of where it stands."""

from __future__ import annotations

from maas_rollout.state import RolloutState
from maas_rollout.steps.back import RestoreStable, RestoreTraffic, StopCandidate
from maas_rollout.steps.finish import Prune, Retire
from maas_rollout.steps.prepare import Hold, Present, Publish, Verify
from maas_rollout.steps.switch import DrainStable, Promote
from maas_rollout.steps.traffic import ReturnTraffic, Shadow, Weight
from maas_rollout.steps.trial import Check, ShortLoad, StartCandidate
from maas_rollout.world import Step


def plan(state: RolloutState) -> list[Step]:
    """All steps of the direction that the rollout is going in, those that are done among them."""
    if state.direction == "back":
        return _back(state)
    return _release(state) if state.kind == "release" else _return(state)


def _release(state: RolloutState) -> list[Step]:
    steps: list[Step] = [Verify(), Hold(), Publish(), StartCandidate(), Check()]
    load: list[Step] = [ShortLoad()] if state.settings.load_s else []
    return [*steps, *load, *_traffic(state), DrainStable(), Promote(), *_return_traffic(state), Retire(), Prune()]


def _traffic(state: RolloutState) -> list[Step]:
    if not _splits_callers(state):
        return []
    settings = state.settings
    shadow: list[Step] = [Shadow()] if settings.mirror_percent else []
    if state.promoting:
        # What was passed through before people asked for the promotion stays in the record; the rest is left out.
        passed: list[Step] = [step for step in [*shadow, *_weights(state)] if step.name in state.done]
        return [*passed, *([] if "weight-100" in state.done else [Weight(100, judged=False)])]
    return [*shadow, *_weights(state)]


def _weights(state: RolloutState) -> list[Weight]:
    return [Weight(percent) for percent in state.settings.weights]


def _return(state: RolloutState) -> list[Step]:
    """A version that served before needs no gates. Triton switches one model without a gap, but several one by one:

    while an ensemble and its steps are switched, callers are on a second server that has them all.
    """
    if len(state.members) == 1 or not _splits_callers(state):
        return [Present(), DrainStable(), Promote()]
    away: list[Step] = [StartCandidate(), Check(), Weight(100, judged=False)]
    return [Present(), *away, DrainStable(), Promote(), ReturnTraffic(), Retire()]


def _return_traffic(state: RolloutState) -> list[Step]:
    return [ReturnTraffic()] if _splits_callers(state) else []


def _back(state: RolloutState) -> list[Step]:
    steps: list[Step] = []
    if Promote.name in state.touched:
        steps.append(RestoreStable())
    if any(name.startswith("weight-") or name == "shadow" for name in state.touched):
        steps.append(RestoreTraffic())
    if "candidate" in state.touched:
        steps.append(StopCandidate())
    return steps


def _splits_callers(state: RolloutState) -> bool:
    """A model that nobody was ever served has no callers to divide."""
    return state.settings.use_gateway and not state.is_first
