"""Which versions served one after the other, and what it takes to go back to them."""

from __future__ import annotations

from collections.abc import Sequence

from maas_core.errors import NotHeld
from maas_rollout.engine import PROMOTED
from maas_rollout.state import RolloutState


def releases_in_force(states: Sequence[RolloutState]) -> list[RolloutState]:
    """The releases that serve on top of one another, oldest first: a return takes those away that it went back over."""
    stack: list[RolloutState] = []
    for state in states:
        if state.outcome != PROMOTED:
            continue
        if state.kind == "release":
            stack.append(state)
            continue
        while stack and _serves(stack[-1], state):
            stack.pop()
    return stack


def way_back(states: Sequence[RolloutState], model: str, version: int | None) -> dict[str, int]:
    """The versions to return to: those before the last release, or where ``model`` was at ``version``.

    Raises:
        NotHeld: where it never served that version, or nothing was released.
    """
    stack = releases_in_force(states)
    target: dict[str, int] = {}
    for state in reversed(stack):
        target |= state.before
        if version is None or target.get(model) == version:
            return {name: target[name] for name in state.members} | target
    if version is not None:
        return {model: version}
    raise NotHeld(f"nothing was released under the name {model}", "name a version: `maas rollout rollback MODEL N`")


def _serves(release: RolloutState, returned: RolloutState) -> bool:
    """Whether a return went back over that release."""
    return any(returned.to.get(model) != version for model, version in release.to.items())
