"""Walking through the steps of a rollout, from wherever its journal says that it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from maas_core.errors import MaasError, NotReachable
from maas_rollout.journal import JournalNotWritten
from maas_rollout.plan import plan
from maas_rollout.state import PROMOTE, RolloutState
from maas_rollout.steps.prepare import named
from maas_rollout.steps.trial import StartCandidate, is_serving
from maas_rollout.world import Interrupted, OutOfReach, Step, Turn, World

_RETRY_S = 0.2
PROMOTED = "promoted"
ROLLED_BACK = "rolled back"


class Engine:
    """Takes one rollout to its end. Whoever runs it holds the locks of its models.

    Args:
        world: the world around the rollout.
    """

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> RolloutState:
        """Goes on until the rollout has ended, forward or back.

        What was applied and has to stand (the candidate, the share of the callers) is seen to first: a process that
        died may have left it half done, and the world may have changed since.

        Whatever ends this process but SIGKILL, no caller stays on a candidate that nobody judges any more: where the
        stable server still has what it served before, all callers are sent back to it. The candidate stays, and
        ``resume`` gives it its share again.

        Raises:
            Interrupted: where it can neither go on nor back now, or this process was told to end; ``resume`` goes on
                from there.
            JournalNotWritten: likewise; nothing was done that the journal does not announce.
        """
        try:
            return self._to_its_end()
        except Interrupted:
            raise
        except KeyboardInterrupt as stopped:
            callers = self._leave(str(stopped) or "Ctrl-C")
            model = self._world.state.model
            raise Interrupted(
                f"stopped ({str(stopped) or 'Ctrl-C'}) at {self._world.state.begun or 'its resumption'}: {callers}",
                f"`maas rollout resume {model}` goes on, `maas rollout abort {model}` goes back",
            ) from stopped
        except BaseException as error:
            self._leave(f"{type(error).__name__}: {error}")
            raise

    def _to_its_end(self) -> RolloutState:
        standing = True
        self._world.refresh()
        while not self._world.state.outcome:
            try:
                if standing:
                    self._restore_standing()
                    standing = False
                self._walk()
            except Turn as turn:
                self._world.append("turn", {"to": turn.to, "why": turn.why, "asked_by": turn.who})
            except JournalNotWritten:
                raise
            except (MaasError, OSError) as error:
                self._fail(error)
        return self._world.state

    def _restore_standing(self) -> None:
        """Applies again what is done and has to stand until a later step takes it back."""
        state = self._world.state
        for step in standing_steps(state):
            if is_traffic(step.name) and is_traffic(state.begun):
                # The share that was begun is applied next; the one before would only move callers to and fro.
                continue
            step.requires(self._world)
            step.apply(self._world)

    def _walk(self) -> None:
        while True:
            state = self._world.state
            step = next((step for step in plan(state) if step.name not in state.done), None)
            if step is None:
                self._end(state)
                return
            self._wait_while_paused()
            self._take(step)

    def _wait_while_paused(self) -> None:
        self._world.poll()
        while self._world.state.paused:
            self._world.wait()

    def _take(self, step: Step) -> None:
        self._world.append("begin", {"step": step.name})
        began = self._world.clock.monotonic_s()
        changed, evidence = self._attempt(step)
        duration_s = round(self._world.clock.monotonic_s() - began, 3)
        done = {"step": step.name, "changed": changed, "evidence": evidence, "duration_s": duration_s}
        self._world.append("done", done)

    def _attempt(self, step: Step) -> tuple[bool, dict[str, Any]]:
        """One step; what is out of reach may come back within the patience."""
        deadline = self._world.clock.monotonic_s() + self._world.patience_s
        while True:
            try:
                step.requires(self._world)
                changed = step.apply(self._world)
                return changed, step.ensures(self._world)
            except NotReachable:
                if self._world.clock.monotonic_s() >= deadline:
                    raise
            self._world.wait(_RETRY_S)

    def _fail(self, error: MaasError | OSError) -> None:
        """Turns back, where there is a way back; otherwise stands still."""
        state = self._world.state
        why = error.message if isinstance(error, MaasError) else str(error)
        self._world.append("failed", {"step": state.begun, "why": why})
        if state.direction == "forward" and not state.is_promoted:
            self._world.append("turn", {"to": "back", "why": f"{state.begun or 'resume'}: {why}"})
            return
        kind = OutOfReach if isinstance(error, NotReachable) else Interrupted
        raise kind(
            f"the rollout of {state.model} stands still at {state.begun or 'its resumption'}: {why}",
            f"mend it, then `maas rollout resume {state.model}`",
        ) from error

    def _leave(self, why: str) -> str:
        """Nobody judges from here on; returns what became of the callers."""
        callers = self._send_callers_back()
        try:
            self._world.append("interrupted", {"why": why, "callers": callers})
        except JournalNotWritten as error:
            return f"{callers}; {error.message}"
        return callers

    def _send_callers_back(self) -> str:
        world = self._world
        try:
            # A signal may have come between an entry and its effect on the state.
            state = world.refresh()
            if not state.settings.use_gateway or world.gateway.split(state.model) == (0, 0):
                return "no caller is on the candidate"
            if PROMOTE in state.touched:
                return "callers stay on the candidate, which is proven: the stable server is changing its version"
            if not is_serving(world.server, state.before):
                return f"callers stay on the candidate: the stable server does not serve {named(state.before)}"
            world.gateway.set_split(world.versions, world.candidate.address(), percent=0)
        except (MaasError, OSError) as error:
            return f"callers stay on the candidate: {error.message if isinstance(error, MaasError) else error}"
        return "all callers are the stable server's again"

    def _end(self, state: RolloutState) -> None:
        outcome = PROMOTED if state.direction == "forward" else ROLLED_BACK
        self._world.append("end", {"outcome": outcome, "why": state.turned_because or state.why})


def standing_steps(state: RolloutState) -> Sequence[Step]:
    """The steps that are done and whose effect must still stand, in the order in which to restore it.

    Once the stable server has the new versions, and on the way back, callers need no second server any more. While
    nobody judges it, the candidate gets none.
    """
    if state.outcome or state.is_promoted or state.direction == "back":
        return []
    steps = [step for step in plan(state) if step.name in state.done]
    candidate = [step for step in steps if step.name == StartCandidate.name]
    if state.unattended:
        return candidate
    traffic = [step for step in steps if is_traffic(step.name)]
    return [*candidate, *traffic[-1:]]


def is_traffic(step: str) -> bool:
    """Whether a step of that name decides what the candidate gets."""
    return step == "shadow" or step.startswith("weight-")
