"""Where a rollout stands: a pure function of its journal.

The kinds of entries, and what their ``data`` holds:

===============  ======================================================================================================
``start``        ``model``, ``kind`` (release, return), ``repository``, ``members`` by model, ``settings``, ``why``
``pin``          ``repository``, ``versions`` that serve from now on, ``order`` among the pins of all journals
``begin``        ``step`` is about to be applied
``done``         ``step`` holds; ``changed`` (whether anything had to be done), ``evidence``, ``duration_s``
``failed``       ``step`` does not hold; ``why``
``judged``       ``step``, ``verdict``, ``reasons`` and ``evidence`` by gate: whenever the verdict changes
``turn``         ``to``: ``back`` (to the versions before) or ``promote`` (no further weights); ``why``
``paused``       by whom is in ``who``; ``why``
``resumed``      likewise
``interrupted``  the process ends in order, or by an error that nobody foresaw; ``why``, what became of the ``callers``
``taken_over``   ``from``: whose process died with the locks, by model
``refused``      a wish that could not be done, ``because``
``reconciled``   ``differences`` of the world that were mended, a sentence each; may stand behind the ``end``
``undrained``    ``sequences`` on a ``side`` that did not end in time
``end``          ``outcome`` (promoted, rolled back), ``why``
===============  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maas_core.releases import NOT_SERVED, PIN, Entry
from maas_rollout.settings import Settings

Direction = Literal["forward", "back"]
PROMOTE = "promote"
PUBLISH = "publish"


@dataclass(frozen=True)
class Member:
    """One model of what is released together.

    Attributes:
        digest: of the version that is to serve.
        before: the version that served before; :data:`NOT_SERVED` for a new model.
        bundle: where it is published from; empty where the version is in the repository.
    """

    digest: str
    before: int
    bundle: str = ""


@dataclass
class RolloutState:
    """One rollout, as its entries tell it.

    Attributes:
        model: the name that people call.
        kind: ``release`` of a bundle, or ``return`` to a version that is there.
        to: the versions that are to serve, by model; empty until they are published.
        done: the evidence of each step that holds.
        begun: the step that was begun last and is not done.
        touched: every step that was ever begun.
        promoting: whether people asked to leave out the remaining weights.
        unattended: whether its process ended in order and left the callers to the stable server.
        outcome: how it ended; empty while it goes on.
    """

    id: str
    model: str
    kind: str
    repository: Path
    members: dict[str, Member]
    settings: Settings
    started_at: str
    who: str
    why: str = ""
    to: dict[str, int] = field(default_factory=dict)
    pinned: dict[str, int] = field(default_factory=dict)
    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: str = ""
    touched: set[str] = field(default_factory=set)
    direction: Direction = "forward"
    promoting: bool = False
    paused: bool = False
    unattended: bool = False
    turned_because: str = ""
    verdict: dict[str, Any] = field(default_factory=dict)
    outcome: str = ""
    ended_at: str = ""

    @property
    def before(self) -> dict[str, int]:
        """The versions that served before, by model."""
        return {model: member.before for model, member in self.members.items()}

    @property
    def is_first(self) -> bool:
        """Whether there is nothing that callers could get instead."""
        return any(version == NOT_SERVED for version in self.before.values())

    @property
    def is_promoted(self) -> bool:
        """Whether the stable server has proven to serve the new versions: from here on it only goes forward."""
        return PROMOTE in self.done


def fold(entries: Iterable[Entry]) -> list[RolloutState]:
    """All rollouts of a journal, oldest first."""
    states: dict[str, RolloutState] = {}
    for entry in entries:
        if entry.kind == "start":
            states[entry.rollout] = _started(entry)
        else:
            apply(states[entry.rollout], entry)
    return list(states.values())


def _started(entry: Entry) -> RolloutState:
    data = entry.data
    members = {model: Member(**member) for model, member in data["members"].items()}
    return RolloutState(
        id=entry.rollout,
        model=data["model"],
        kind=data["kind"],
        repository=Path(data["repository"]),
        members=members,
        settings=Settings.model_validate(data["settings"]),
        started_at=entry.at,
        who=entry.who,
        why=data.get("why", ""),
        to=dict(data.get("to", {})),
    )


def apply(state: RolloutState, entry: Entry) -> None:
    """Brings ``state`` up to one more entry."""
    data = entry.data
    if entry.kind == PIN:
        state.pinned |= data["versions"]
    elif entry.kind == "begin":
        state.begun = data["step"]
        state.touched.add(data["step"])
    elif entry.kind == "done":
        _step_done(state, data)
    elif entry.kind == "judged":
        state.verdict = data
    elif entry.kind == "turn":
        _turn(state, data)
    elif entry.kind == "paused":
        state.paused = True
    elif entry.kind == "resumed":
        state.paused = state.unattended = False
    elif entry.kind == "interrupted":
        state.unattended = True
    elif entry.kind == "end":
        state.outcome, state.ended_at = data["outcome"], entry.at


def _step_done(state: RolloutState, data: Mapping[str, Any]) -> None:
    state.begun = ""
    state.done[data["step"]] = data.get("evidence", {})
    if data["step"] == PUBLISH:
        state.to = dict(data["evidence"]["versions"])


def _turn(state: RolloutState, data: Mapping[str, Any]) -> None:
    state.begun, state.unattended = "", False
    if data["to"] == "back":
        state.direction, state.turned_because, state.paused = "back", data["why"], False
    else:
        state.promoting, state.paused = True, False


def active(states: Iterable[RolloutState]) -> RolloutState | None:
    """The rollout that has not ended, if there is one."""
    return next((state for state in states if not state.outcome), None)
