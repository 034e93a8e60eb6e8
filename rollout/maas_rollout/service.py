"""What the commands do: start a rollout, go on with one, turn one back. Each takes the locks that it needs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maas_core.errors import NotHeld, NotReachable, WrongUse
from maas_core.names import check_model_name
from maas_core.releases import NOT_SERVED, journal_path, journals_dir, read_entries, released_versions
from maas_rollout import reconcile as reconciling
from maas_rollout.control import Action, Control, ask, refusal, request_path
from maas_rollout.engine import Engine
from maas_rollout.journal import Journal, Listener
from maas_rollout.levels import way_back
from maas_rollout.lock import is_locked, locked
from maas_rollout.settings import Settings
from maas_rollout.state import Member, RolloutState, active, fold
from maas_rollout.steps.prepare import named, version_with
from maas_rollout.steps.trial import is_serving
from maas_rollout.unit import members_at, members_of, served_version
from maas_rollout.world import Ports, World

PortsOf = Callable[[RolloutState], Ports]


class Rollouts:
    """The rollouts of one build folder.

    Args:
        ports_of: makes the world around a rollout from its settings.
        listener: is told of each entry of a journal.
    """

    def __init__(self, ports_of: PortsOf, listener: Listener | None = None) -> None:
        self._ports_of = ports_of
        self._listener = listener

    def plan_release(
        self, model: str, bundles: Sequence[Path], repository: Path, settings: Settings, why: str
    ) -> RolloutState:
        """What :meth:`start` would begin; nothing is written.

        Raises:
            NotHeld: where the bundles cannot be released; see :func:`maas_rollout.unit.members_of`.
            WrongUse: likewise.
        """
        members = members_of(check_model_name(model), bundles, repository)
        return _new_state(model, "release", repository, members, settings, why)

    def plan_return(
        self, model: str, version: int | None, repository: Path, settings: Settings, why: str
    ) -> RolloutState:
        """What :meth:`start` would begin to return to an earlier version; nothing is written.

        Raises:
            NotHeld: where there is no such version, or nothing to return to.
        """
        versions = way_back(states_of(model), model, version)
        if NOT_SERVED in versions.values():
            raise NotHeld(
                f"{model} had no version before this one", "name the version: `maas rollout rollback MODEL N`"
            )
        state = _new_state(model, "return", repository, members_at(versions, repository), settings, why)
        state.to = versions
        return state

    def start(self, planned: RolloutState) -> RolloutState | None:
        """Takes a planned rollout to its end; nothing where its versions serve already.

        Raises:
            Locked: where another process is at work on one of its models.
            NotHeld: where an interrupted rollout of one of them is to be ended first.
        """
        if _is_served(planned):
            return None
        with locked([planned.model, *planned.members]):
            _require_none_active(planned.members)
            _require_unchanged(planned)
            data: dict[str, Any] = {
                "model": planned.model,
                "kind": planned.kind,
                "repository": str(planned.repository.resolve()),
                "members": {model: vars(member) for model, member in planned.members.items()},
                "settings": planned.settings.model_dump(mode="json"),
                "to": planned.to,
                "why": planned.why,
            }
            world = self._world(planned)
            _require_reachable(world)
            request_path(planned.model).unlink(missing_ok=True)
            world.journal.append(planned.id, "start", data)
            return Engine(world).run()

    def resume(self, model: str, why: str = "") -> RolloutState:
        """Goes on with a rollout that is paused or whose process has ended.

        Raises:
            NotHeld: where there is none.
        """
        state = require_active(model)
        if is_locked(model):
            ask(state, "resume", why)
            return state
        with self._taken_over(state) as world:
            world.append("resumed", {"why": why})
            return Engine(world).run()

    def roll_back(self, model: str, version: int | None = None, why: str = "") -> RolloutState | None:
        """Turns a rollout under way back, or returns to an earlier version after the promotion.

        One that is promoted and has only to clear up is brought to its end before.

        Args:
            model: the name that people call.
            version: which one to return to; by default that before the last release.
            why: in the words of who asks.

        Returns:
            The rollout that went back; nothing where that version serves already.

        Raises:
            NotHeld: where there is nothing to go back to.
        """
        state = active(states_of(model))
        if state is not None and not state.is_promoted:
            if version not in (None, state.before.get(model)):
                raise NotHeld(
                    f"{model} {version} is not what served before this rollout ({state.before.get(model)} is)",
                    f"end it first: `maas rollout abort {model}`",
                )
            return self.turn(model, "rollback", why)
        if state is not None:
            self.resume(model, why)
        last = require_last(model)
        return self.start(self.plan_return(model, version, last.repository, last.settings, why))

    def turn(self, model: str, action: Action, why: str = "") -> RolloutState:
        """Asks whoever works on a rollout to pause, promote, roll back or abort it; where nobody does, does it.

        Raises:
            NotHeld: where there is none, or where it cannot be done any more.
        """
        state = require_active(model)
        because = refusal(state, action)
        if because:
            raise NotHeld(f"cannot {action}: {because}", f"see `maas rollout status {model}`")
        if is_locked(model):
            ask(state, action, why)
            return state
        with self._taken_over(state) as world:
            if action == "pause":
                world.append("paused", {"why": why})
                return world.state
            if state.direction == "forward":
                to = "promote" if action == "promote" else "back"
                world.append("turn", {"to": to, "why": why or action})
            return Engine(world).run()

    def differences(self, model: str) -> list[str]:
        """What of the world is not as the journal of ``model`` says, a sentence each."""
        return reconciling.differences(self._world(require_last(model)))

    def reconcile(self, model: str) -> list[str]:
        """Brings servers and gateway to what the journal of ``model`` says; returns what was different.

        Raises:
            Locked: where a process is at work on it.
        """
        state = require_last(model)
        with locked([model, *state.members]):
            return reconciling.reconcile(self._world(state))

    def _world(self, state: RolloutState) -> World:
        ports = self._ports_of(state)
        journal = Journal(journal_path(state.model), ports.clock, self._listener)
        world = World(state=state, journal=journal, **vars(ports))
        world.poll = Control(world).poll
        return world

    @contextmanager
    def _taken_over(self, state: RolloutState) -> Iterator[World]:
        """The world of a rollout that nobody works on; tells whose it was."""
        with locked([state.model, *state.members]) as left:
            world = self._world(state)
            if world.refresh().outcome:
                raise NotHeld(f"the rollout of {state.model} has ended meanwhile: {world.state.outcome}")
            if left:
                world.append("taken_over", {"from": left})
            yield world


def states_of(model: str) -> list[RolloutState]:
    """All rollouts that were started under this name, oldest first."""
    return fold(read_entries(journal_path(check_model_name(model))))


def all_states() -> dict[str, list[RolloutState]]:
    """The rollouts of every name."""
    return {path.stem: fold(read_entries(path)) for path in sorted(journals_dir().glob("*.jsonl"))}


def require_active(model: str) -> RolloutState:
    """The rollout of ``model`` that has not ended.

    Raises:
        NotHeld: where there is none.
    """
    state = active(states_of(model))
    if state is None:
        raise NotHeld(f"no rollout of {model} is under way", "see `maas rollout history`, or start one")
    return state


def require_last(model: str) -> RolloutState:
    """The last rollout of ``model``, ended or not.

    Raises:
        WrongUse: where there never was one.
    """
    states = states_of(model)
    if not states:
        raise WrongUse(f"there never was a rollout of {model}", "see `maas rollout status` for those that there are")
    return states[-1]


def _new_state(
    model: str, kind: str, repository: Path, members: Mapping[str, Member], settings: Settings, why: str
) -> RolloutState:
    now = datetime.now(UTC)
    return RolloutState(
        id=f"{model}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}",
        model=model,
        kind=kind,
        repository=repository,
        members=dict(members),
        settings=settings,
        started_at=now.isoformat(timespec="milliseconds"),
        who="",
        why=why,
    )


def _is_served(planned: RolloutState) -> bool:
    """Whether the digests that are to serve are those of the versions that do."""
    for model, member in planned.members.items():
        found = version_with(planned.repository, model, member.digest)
        if found is None or found.version != member.before:
            return False
    return True


def _require_unchanged(planned: RolloutState) -> None:
    """What was planned before the locks were held may have been overtaken by another rollout."""
    released = released_versions(planned.repository)
    for model, member in planned.members.items():
        now = served_version(planned.repository, model, released)
        if now != member.before:
            raise NotHeld(f"{model} {now} serves meanwhile, not {member.before}", "start the rollout again")


def _require_reachable(world: World) -> None:
    """Nothing is begun where it could not be ended: the stable server serves what it should, the gateway is there."""
    before = world.state.before
    if not is_serving(world.server, before):
        if world.server.address() is None:
            view = world.state.settings.stable_view
            raise NotReachable(f"no server of the view {view!r} runs", f"start `maas serve --view {view}`")
        raise NotHeld(
            f"the stable server does not serve {named(before)}",
            f"see `maas status`, and `maas rollout reconcile {world.state.model}` for what was released before",
        )
    if world.state.settings.use_gateway and world.gateway.is_free_for(world.models):
        world.gateway.set_split(world.versions, None)


def _require_none_active(models: Mapping[str, Member]) -> None:
    for name, states in all_states().items():
        state = active(states)
        if state is not None and set(state.members) & set(models):
            raise NotHeld(
                f"a rollout of {name} is under way (interrupted at {state.begun or 'its beginning'})",
                f"end it first: `maas rollout resume {name}` or `maas rollout abort {name}`",
            )
