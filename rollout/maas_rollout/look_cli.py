"""``maas rollout status``, ``history`` and ``reconcile``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maas_rollout.state import RolloutState


@click.command(epilog="Example: maas rollout status digits_cnn --json", short_help="Where rollouts stand.")
@click.argument("model", required=False)
@click.option("--dry-run", is_flag=True, help="The same: it changes nothing anyway.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each model.")
def status(model: str | None, dry_run: bool, as_json: bool) -> None:
    """Where the last rollout of MODEL (of all models by default) stands, and who works on it."""
    del dry_run
    from maas_rollout.lock import is_locked, owner_of
    from maas_rollout.service import all_states, require_last
    from maas_rollout.shown import state_in_words

    found = [require_last(model)] if model else [states[-1] for states in all_states().values() if states]
    for state in found:
        owner = (owner_of(state.model) or "somebody") if is_locked(state.model) else ""
        click.echo(json.dumps(_document(state, owner)) if as_json else state_in_words(state, owner))
    if not found and not as_json:
        click.echo("no model was ever rolled out: every model is served at its newest version")


@click.command(epilog="Example: maas rollout history digits_cnn --entries", short_help="Who released what, and when.")
@click.argument("model")
@click.option("--entries", is_flag=True, help="Every entry of the journal.")
@click.option("--dry-run", is_flag=True, help="The same: it changes nothing anyway.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def history(model: str, entries: bool, dry_run: bool, as_json: bool) -> None:
    """All rollouts of MODEL, oldest first. The journal's chain is verified on the way: a changed line is told."""
    del dry_run
    from dataclasses import asdict

    from maas_core.releases import journal_path, read_entries
    from maas_rollout.service import require_last
    from maas_rollout.shown import entry_in_words
    from maas_rollout.state import fold

    require_last(model)
    lines = read_entries(journal_path(model))
    if entries:
        for entry in lines:
            click.echo(json.dumps(asdict(entry)) if as_json else entry_in_words(entry))
        return
    for state in fold(lines):
        click.echo(json.dumps(_document(state, "")) if as_json else _line(state))
    if not as_json:
        click.echo(f"{len(lines)} entries, each continues the one before ({journal_path(model)})")


@click.command(epilog="Example: maas rollout reconcile digits_cnn", short_help="Make the world what the journal says.")
@click.argument("model", required=False)
@click.option("--dry-run", is_flag=True, help="Tell the differences; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each model.")
def reconcile(model: str | None, dry_run: bool, as_json: bool) -> None:
    """Bring servers and gateway back to what the journal of MODEL (of all models by default) says."""
    from maas_rollout.service import Rollouts, all_states
    from maas_rollout.wiring import ports_of

    rollouts = Rollouts(ports_of)
    for name in [model] if model else all_states():
        found = rollouts.differences(name) if dry_run else rollouts.reconcile(name)
        if as_json:
            click.echo(json.dumps({"model": name, "differences": found, "mended": bool(found) and not dry_run}))
        else:
            done = "" if dry_run or not found else " (mended)"
            click.echo(f"{name}: {'; '.join(found) or 'as the journal says'}{done}")


def _document(state: RolloutState, owner: str) -> dict[str, Any]:
    from maas_rollout.reconcile import split_wanted
    from maas_rollout.shown import phase

    percent, mirrored = split_wanted(state)
    return {
        "model": state.model,
        "rollout": state.id,
        "kind": state.kind,
        "phase": phase(state, owner),
        "outcome": state.outcome,
        "from": state.before,
        "to": state.to,
        "step": state.begun,
        "done": list(state.done),
        "candidate_percent": percent,
        "mirror_percent": mirrored,
        "owner": owner,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "who": state.who,
        "why": state.why,
        "turned_because": state.turned_because,
    }


def _line(state: RolloutState) -> str:
    from maas_rollout.steps.prepare import named

    to = named(state.to) if state.to else "nothing published"
    ended = f"{state.outcome} {state.ended_at[:19]}" if state.outcome else "not ended"
    why = state.turned_because or state.why
    what = f"{state.kind}: {named(state.before)} → {to}: {ended}, by {state.who}"
    return f"{state.started_at[:19]}  {what}{f': {why}' if why else ''}"
