"""Rollouts in words, for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from maas_core.releases import Entry
from maas_rollout.plan import plan
from maas_rollout.reconcile import split_wanted
from maas_rollout.state import RolloutState
from maas_rollout.steps.prepare import named


def entry_in_words(entry: Entry) -> str:
    """One line for one entry of a journal."""
    return f"{entry.at[:19].replace('T', ' ')}  {_what(entry)}"


def state_in_words(state: RolloutState, owner: str) -> str:
    """Where a rollout stands, a few lines.

    Args:
        state: the rollout.
        owner: who works on it now; empty where nobody does.
    """
    lines = [
        f"{state.model}: {state.kind} {state.id}, {phase(state, owner)}",
        f"  from     {named(state.before)}",
        f"  to       {named(state.to) if state.to else 'not published yet'}",
    ]
    if not state.outcome:
        percent, mirrored = split_wanted(state)
        lines.append(
            f"  step     {state.begun or 'between steps'}, {percent} % to the candidate, {mirrored} % mirrored"
        )
        lines.append(f"  by       {owner or 'nobody: `maas rollout resume` or `abort`'}")
    if state.turned_because:
        lines.append(f"  back     {state.turned_because}")
    for name, gate in sorted(state.verdict.get("evidence", {}).items()):
        lines.append(f"  gate     {name}: {gate['verdict']}: {'; '.join(gate['reasons'])}")
    return "\n".join(lines)


def phase(state: RolloutState, owner: str) -> str:
    """In one word or two."""
    if state.outcome:
        return state.outcome
    if not owner:
        return "paused, nobody at work" if state.paused else "interrupted"
    if state.direction == "back":
        return "going back"
    return "paused" if state.paused else "under way"


def plan_in_words(state: RolloutState) -> str:
    """The steps that are still to be taken."""
    left = [step for step in plan(state) if step.name not in state.done]
    width = max((len(step.name) for step in left), default=0)
    return "\n".join(f"  {step.name:<{width}}  {step.describe(state)}" for step in left) or "  nothing is left to do"


def _what(entry: Entry) -> str:
    data = entry.data
    words: dict[str, Callable[[], str]] = {
        "start": lambda: f"{data['kind']} of {', '.join(data['members'])} began ({entry.rollout}){_because(data)}",
        "pin": lambda: f"from now on {named(data['versions'])} serves",
        "begin": lambda: f"{data['step']} …",
        "done": lambda: (
            f"{data['step']}: done{'' if data['changed'] else ', nothing had to change'}, {data['duration_s']:g} s"
        ),
        "failed": lambda: f"{data['step'] or 'resumption'}: FAILED: {data['why']}",
        "judged": lambda: f"{data['step']}: gates say {data['verdict']}: {'; '.join(data['reasons'])}",
        "turn": lambda: f"turned {'back' if data['to'] == 'back' else 'to promotion'}{_because(data)}",
        "paused": lambda: f"paused{_because(data)}",
        "resumed": lambda: f"resumed{_because(data)}",
        "interrupted": lambda: f"interrupted, {data['callers']}: {data['why']}",
        "taken_over": lambda: f"taken over from {', '.join(sorted(set(data['from'].values())))}, which is gone",
        "refused": lambda: f"{data['action']} is refused: {data['because']}",
        "reconciled": lambda: f"reconciled: {'; '.join(data['differences'])}",
        "undrained": lambda: f"sequences on the {data['side']} server that did not end: {', '.join(data['sequences'])}",
        "end": lambda: data["outcome"].upper(),
    }
    return words[entry.kind]() if entry.kind in words else entry.kind


def _because(data: Mapping[str, Any]) -> str:
    who = f" by {data['asked_by']}" if data.get("asked_by") else ""
    return f"{who}: {data['why']}" if data.get("why") else who
