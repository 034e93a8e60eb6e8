"""What the commands share: telling entries as they are written, following another process, ending with a verdict."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict

import click

from maas_core.errors import MaasError, NotHeld
from maas_core.releases import Entry, journal_path, read_entries
from maas_rollout.engine import PROMOTED
from maas_rollout.journal import Listener
from maas_rollout.lock import is_locked
from maas_rollout.plan import plan
from maas_rollout.shown import entry_in_words, plan_in_words
from maas_rollout.state import RolloutState, fold
from maas_rollout.stopping import stoppable

_FOLLOW_S = 0.05


def listener(*, as_json: bool) -> Listener:
    """Tells each entry of a journal on stdout."""

    def tell(entry: Entry) -> None:
        try:
            click.echo(json.dumps(asdict(entry)) if as_json else entry_in_words(entry))
        except OSError:
            # Who watched has gone; that is no reason to turn a rollout back, and the journal has it all.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return tell


def show_plan(state: RolloutState, *, as_json: bool) -> None:
    """Tells which steps would be taken."""
    left = [step for step in plan(state) if step.name not in state.done]
    if as_json:
        steps = [{"step": step.name, "what": step.describe(state)} for step in left]
        members = {model: vars(member) for model, member in state.members.items()}
        click.echo(json.dumps({"model": state.model, "kind": state.kind, "members": members, "steps": steps}))
        return
    click.echo(f"{state.model}: {state.kind} of {', '.join(state.members)}; nothing is changed by this dry run")
    click.echo(plan_in_words(state))


def finish(work: Callable[[], RolloutState | None], model: str, *, as_json: bool, back: bool = False) -> None:
    """Does the work of a command to the rollout's end.

    Args:
        work: returns where the rollout stands; nothing where there was nothing to do.
        model: the name that people call.
        as_json: as the command was asked.
        back: whether going back is what was asked for.

    Raises:
        NotHeld: where the rollout went back and was not to.
        MaasError: where somebody pressed Ctrl-C, or ended this process otherwise.
    """
    try:
        with stoppable():
            state = work()
    except KeyboardInterrupt as error:
        # A rollout that this process itself took through its steps says so in its own words.
        raise MaasError(
            f"stopped; what was asked for of {model} stands", f"see `maas rollout status {model}`"
        ) from error
    if state is None:
        told = {"model": model, "outcome": "nothing to do"}
        click.echo(json.dumps(told) if as_json else f"{model}: that version serves already, nothing to do")
    elif state.outcome and state.outcome != PROMOTED and not back:
        raise NotHeld(f"{model} was {state.outcome}: {state.turned_because}", f"see `maas rollout history {model}`")


def follow(model: str, rollout: str, tell: Listener, until: Callable[[Entry], bool], after: int = 0) -> RolloutState:
    """Tells what another process writes about a rollout until an entry that was waited for.

    Args:
        model: whose journal.
        rollout: its id.
        tell: is told of each entry.
        until: whether this is the entry.
        after: entries up to this number are old.

    Raises:
        NotHeld: where the other process refuses, or ended before it came.
    """
    while True:
        alive = is_locked(model)
        entries = read_entries(journal_path(model))
        for entry in entries:
            if entry.rollout != rollout or entry.seq <= after:
                continue
            after = entry.seq
            tell(entry)
            if entry.kind == "refused":
                raise NotHeld(f"refused: {entry.data['because']}", f"see `maas rollout status {model}`")
            if until(entry):
                return next(state for state in fold(entries) if state.id == rollout)
        if not alive:
            raise NotHeld("the process that worked on it ended", f"`maas rollout resume {model}` takes it over")
        time.sleep(_FOLLOW_S)
