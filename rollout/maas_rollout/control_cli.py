"""``maas rollout pause``, ``resume``, ``promote``, ``abort`` and ``rollback``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_core.releases import Entry
    from maas_rollout.control import Action
    from maas_rollout.service import Rollouts


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--json", "as_json", is_flag=True, help="One JSON object for each entry of the journal.")(
        command
    )
    command = click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")(command)
    command = click.option("--why", default="", help="For the record.")(command)
    return click.argument("model")(command)


@click.command(epilog="Example: maas rollout pause digits_cnn --why 'the evening peak'", short_help="Hold the weights.")
@_shared
def pause(model: str, why: str, dry_run: bool, as_json: bool) -> None:
    """Keep a rollout of MODEL where it is until `resume`. Gates go on judging: one that says back is obeyed."""
    _turn(model, "pause", why, dry_run=dry_run, as_json=as_json)


@click.command(epilog="Example: maas rollout promote digits_cnn", short_help="Leave out the remaining weights.")
@_shared
def promote(model: str, why: str, dry_run: bool, as_json: bool) -> None:
    """Promote MODEL now, without holding the remaining weights. Golden samples and load test are never left out."""
    _turn(model, "promote", why, dry_run=dry_run, as_json=as_json)


@click.command(epilog="Example: maas rollout abort digits_cnn", short_help="Give up a rollout under way.")
@_shared
def abort(model: str, why: str, dry_run: bool, as_json: bool) -> None:
    """Turn a rollout of MODEL back: callers first, then the second server goes. What was published stays published."""
    _turn(model, "abort", why, dry_run=dry_run, as_json=as_json)


@click.command(epilog="Example: maas rollout resume digits_cnn", short_help="Go on after a pause or a crash.")
@_shared
def resume(model: str, why: str, dry_run: bool, as_json: bool) -> None:
    """Go on with a rollout of MODEL that is paused, or whose process has ended, from where its journal stands."""
    from maas_rollout.lock import is_locked
    from maas_rollout.running import finish, show_plan
    from maas_rollout.service import require_active

    state = require_active(model)
    if dry_run:
        show_plan(state, as_json=as_json)
    elif is_locked(model):
        _turn(model, "resume", why, dry_run=False, as_json=as_json)
    else:
        rollouts = _rollouts(as_json=as_json)
        finish(lambda: rollouts.resume(model, why), model, as_json=as_json, back=state.direction == "back")


@click.command(
    epilog="""Examples:

    maas rollout rollback digits_cnn

    maas rollout rollback digits_cnn 3 --why 'wrong labels'""",
    short_help="Back to the version before, or to version N.",
)
@_shared
@click.argument("version", required=False, type=click.IntRange(min=1), metavar="[N]")
def rollback(model: str, version: int | None, why: str, dry_run: bool, as_json: bool) -> None:
    """Go back. While the second server serves, only the routing changes; after the promotion the version before the
    last release (or version N) is loaded again, and serves without a gap.
    """
    from maas_rollout.running import finish, show_plan
    from maas_rollout.service import require_last, states_of
    from maas_rollout.state import active

    under_way = active(states_of(model))
    if under_way is not None and not under_way.is_promoted and version in (None, under_way.before.get(model)):
        _turn(model, "rollback", why, dry_run=dry_run, as_json=as_json)
        return
    rollouts = _rollouts(as_json=as_json)
    if dry_run:
        last = require_last(model)
        show_plan(rollouts.plan_return(model, version, last.repository, last.settings, why), as_json=as_json)
        return
    _wait_for_end(model, as_json=as_json)
    finish(lambda: rollouts.roll_back(model, version, why), model, as_json=as_json)


def _turn(model: str, action: Action, why: str, *, dry_run: bool, as_json: bool) -> None:
    from dataclasses import replace

    from maas_core.errors import NotHeld
    from maas_core.releases import journal_path, read_entries
    from maas_rollout.control import refusal
    from maas_rollout.lock import is_locked
    from maas_rollout.running import finish, follow, listener, show_plan
    from maas_rollout.service import require_active

    state = require_active(model)
    because = refusal(state, action)
    if because:
        raise NotHeld(f"cannot {action}: {because}", f"see `maas rollout status {model}`")
    goes_back = action in ("abort", "rollback")
    if dry_run:
        turned = {"direction": "back"} if goes_back else {"promoting": action == "promote" or state.promoting}
        show_plan(replace(state, **turned), as_json=as_json)
        return
    rollouts = _rollouts(as_json=as_json)
    if not is_locked(model):
        finish(lambda: rollouts.turn(model, action, why), model, as_json=as_json, back=goes_back)
        return
    known = len(read_entries(journal_path(model)))
    rollouts.turn(model, action, why)

    def until(entry: Entry) -> bool:
        return entry.kind == _LAST_ENTRY.get(action, "end")

    finish(
        lambda: follow(model, state.id, listener(as_json=as_json), until, known),
        model,
        as_json=as_json,
        back=goes_back,
    )


_LAST_ENTRY: dict[str, str] = {"pause": "paused", "resume": "resumed"}


def _wait_for_end(model: str, *, as_json: bool) -> None:
    """Another process may be clearing up after a promotion: that takes seconds."""
    from maas_core.releases import journal_path, read_entries
    from maas_rollout.lock import is_locked
    from maas_rollout.running import follow, listener
    from maas_rollout.service import states_of
    from maas_rollout.state import active

    state = active(states_of(model))
    if state is not None and is_locked(model):
        known = len(read_entries(journal_path(model)))
        follow(model, state.id, listener(as_json=as_json), lambda entry: entry.kind == "end", known)


def _rollouts(*, as_json: bool) -> Rollouts:
    from maas_rollout.running import listener
    from maas_rollout.service import Rollouts
    from maas_rollout.wiring import ports_of

    return Rollouts(ports_of, listener(as_json=as_json))
