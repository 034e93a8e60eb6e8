"""What people ask of a rollout that another process is taking through its steps: one small file, looked at often."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from maas_core.files import write_atomic
from maas_core.releases import journals_dir
from maas_rollout.journal import who
from maas_rollout.plan import plan
from maas_rollout.state import RolloutState
from maas_rollout.steps.trial import Check, ShortLoad
from maas_rollout.world import Turn, World

Action = Literal["pause", "resume", "promote", "rollback", "abort"]
_PROOFS = (Check.name, ShortLoad.name)


@dataclass(frozen=True)
class Request:
    """One wish.

    Attributes:
        rollout: which rollout it is about; another one is not touched by it.
        why: in the words of who asked.
    """

    rollout: str
    action: Action
    who: str
    why: str = ""


def request_path(model: str) -> Path:
    """Where the process that works on ``model`` looks."""
    return journals_dir() / f"{model}.request.json"


def ask(state: RolloutState, action: Action, why: str) -> None:
    """Leaves a wish for the process that holds the lock."""
    wish = Request(state.id, action, who(), why)
    write_atomic(request_path(state.model), json.dumps(asdict(wish)) + "\n")


def refusal(state: RolloutState, action: Action) -> str:
    """Why a rollout that stands there cannot do that; empty where it can."""
    if state.outcome:
        return f"the rollout of {state.model} has ended: {state.outcome}"
    if state.direction == "back":
        return "" if action in ("rollback", "abort") else "it is on the way back already"
    if action == "promote":
        missing = [step.name for step in plan(state) if step.name in _PROOFS and step.name not in state.done]
        if missing:
            return f"nothing is proven yet: {' and '.join(missing)} come first"
    if action != "resume" and state.is_promoted:
        return f"{state.model} is promoted already"
    return ""


class Control:
    """Reads the wishes, and does them or has them done.

    Args:
        world: of the rollout.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._path = request_path(world.state.model)

    def poll(self) -> None:
        """Does what is asked for; the file goes only when it is done, so that a crash forgets nothing.

        Raises:
            Turn: where another way was asked for.
        """
        request = self._read()
        if request is None:
            return
        state = self._world.state
        if request.rollout != state.id or _is_done(state, request.action):
            self._path.unlink(missing_ok=True)
            return
        why = refusal(state, request.action)
        if why:
            self._path.unlink(missing_ok=True)
            self._world.append("refused", {**asdict(request), "because": why})
        elif request.action in ("pause", "resume"):
            kind = "paused" if request.action == "pause" else "resumed"
            self._world.append(kind, {"why": request.why, "asked_by": request.who})
        else:
            to = "promote" if request.action == "promote" else "back"
            raise Turn(to, request.why or request.action, request.who)

    def _read(self) -> Request | None:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return None
        request = Request(**json.loads(text))
        if request.action not in get_args(Action):
            raise ValueError(f"{self._path} asks for {request.action!r}")
        return request


def _is_done(state: RolloutState, action: Action) -> bool:
    """Whether the rollout is that way already."""
    if action in ("rollback", "abort"):
        return state.direction == "back"
    if action == "promote":
        return state.promoting
    return state.paused == (action == "pause")
