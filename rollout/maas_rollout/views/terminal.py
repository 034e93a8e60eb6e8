"""Rollouts on a terminal: the same document as the page, in lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_BARS = "▁▂▃▄▅▆▇█"
_BAR_WIDTH = 40
_SHOWN_S = 60
_JOURNAL_LINES = 6
_COLOURS = {"go": "green", "hold": "yellow", "back": "red"}
_OUTCOME_COLOURS = {"promoted": "green", "rolled back": "red"}


def screen(document: Mapping[str, Any]) -> RenderableType:
    """All rollouts of a snapshot (:class:`maas_rollout.views.snapshot.Watcher`)."""
    rollouts = document["rollouts"]
    if not rollouts:
        return Text("nothing was released yet: maas rollout start MODEL --bundle …", style="dim")
    return Group(*(_panel(rollout) for rollout in rollouts))


def _panel(rollout: Mapping[str, Any]) -> Panel:
    if "error" in rollout:
        return Panel(Text(rollout["error"], style="red"), title=rollout["model"])
    parts: list[RenderableType] = [_share(rollout), _steps(rollout), _curves(rollout)]
    parts += [_gates(rollout["gates"])] if rollout["gates"] else []
    word, colour = _standing(rollout)
    return Panel(Group(*parts, _journal(rollout["journal"])), title=f"{rollout['model']}: {word}", border_style=colour)


def _standing(rollout: Mapping[str, Any]) -> tuple[str, str]:
    if rollout["outcome"]:
        return rollout["outcome"], _OUTCOME_COLOURS.get(rollout["outcome"], "white")
    if not rollout["process"]:
        return "interrupted (maas rollout resume)", "yellow"
    if rollout["direction"] == "back":
        return "going back", "red"
    return ("paused", "yellow") if rollout["paused"] else ("under way", "cyan")


def _share(rollout: Mapping[str, Any]) -> Text:
    percent = rollout["percent"]
    candidate = round(_BAR_WIDTH * percent / 100)
    text = Text(f"stable {_versions(rollout['before'])} {100 - percent} % ")
    text.append("█" * (_BAR_WIDTH - candidate), style="blue")
    text.append("█" * candidate, style="dark_orange")
    text.append(f" {percent} % candidate {_versions(rollout['to']) or '(not published yet)'}")
    if rollout["mirror_percent"]:
        text.append(f"; {rollout['mirror_percent']} % mirrored")
    if rollout["turned_because"]:
        text.append(f"\n{rollout['turned_because']}", style="red")
    return text


def _steps(rollout: Mapping[str, Any]) -> Text:
    styles = {"done": "green", "now": "bold reverse", "to come": "dim"}
    text = Text()
    for step in rollout["steps"]:
        text.append(step["name"], style="red" if step["failed"] else styles[step["phase"]])
        text.append("  ")
    return text


def _curves(rollout: Mapping[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    shown = {side: rollout["curves"][side]["p99_ms"][-_SHOWN_S:] for side in ("stable", "candidate")}
    highest = max((value for values in shown.values() for value in values if value is not None), default=0.0)
    for side, values in shown.items():
        last = next((value for value in reversed(values) if value is not None), None)
        words = "nothing" if last is None else f"{last:.1f} ms"
        table.add_row(f"p99 {side}", spark(values, highest), words)
    return table


def spark(values: Sequence[float | None], highest: float) -> str:
    """A line of bars, one for each value; a blank where there is none."""
    steps = len(_BARS) - 1
    return "".join(" " if v is None else _BARS[round(steps * v / highest) if highest else 0] for v in values)


def _gates(gates: Sequence[Mapping[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for gate in gates:
        verdict = Text(gate["verdict"], style=_COLOURS[gate["verdict"]])
        table.add_row(gate["name"], verdict, "; ".join(gate["reasons"]))
    return table


def _journal(entries: Sequence[Mapping[str, Any]]) -> Text:
    lines = [_line(entry) for entry in entries[-_JOURNAL_LINES:]]
    return Text("\n".join(lines), style="dim")


def _line(entry: Mapping[str, Any]) -> str:
    data = entry["data"]
    words = [str(data[name]) for name in ("step", "verdict", "to", "outcome", "why") if isinstance(data.get(name), str)]
    return f"{entry['at'][11:19]} {entry['kind']} {': '.join(word for word in words if word)}"


def _versions(versions: Mapping[str, int]) -> str:
    return ", ".join(f"{model} {version or 'none'}" for model, version in versions.items())
