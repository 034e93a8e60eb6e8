"""All that is known of rollouts at one moment, as JSON can hold it: what every view shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maas_core.errors import MaasError, NotReachable, WrongUse
from maas_core.releases import Entry, journal_path, journals_dir, read_entries
from maas_gateway.routing import Split, read_routing
from maas_rollout.gates import gates_for
from maas_rollout.gates.answers import GoldenGate
from maas_rollout.lock import is_locked
from maas_rollout.plan import plan
from maas_rollout.ports import Gate, GateContext
from maas_rollout.servers import ServedView, candidate_view
from maas_rollout.state import RolloutState, fold
from maas_rollout.views.curves import Curves

_JOURNAL_LINES = 40


class Watcher:
    """Looks at the last rollout of each model, again and again.

    Args:
        model: only this one.
    """

    def __init__(self, model: str | None = None) -> None:
        self._model = model
        self._curves: dict[tuple[str, str], Curves] = {}
        self._gates: dict[str, Sequence[Gate]] = {}

    def snapshot(self) -> dict[str, Any]:
        """``at``, and ``rollouts``: one document for each model; ``error`` in place of one that cannot be read."""
        return {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "rollouts": [self._of(m) for m in self._models()],
        }

    def _models(self) -> list[str]:
        if self._model is not None:
            return [self._model]
        return sorted(path.stem for path in journals_dir().glob("*.jsonl"))

    def _of(self, model: str) -> dict[str, Any]:
        try:
            entries = read_entries(journal_path(model))
        except MaasError as error:
            return {"model": model, "error": error.message}
        states = fold(entries)
        if not states:
            return {"model": model, "error": "nothing was ever released under this name"}
        return self._document(states, [entry for entry in entries if entry.rollout == states[-1].id])

    def _document(self, states: Sequence[RolloutState], entries: Sequence[Entry]) -> dict[str, Any]:
        state = states[-1]
        split, gateway = _split(state)
        return {
            "model": state.model,
            "id": state.id,
            "kind": state.kind,
            "started_at": state.started_at,
            "who": state.who,
            "why": state.why,
            "outcome": state.outcome,
            "ended_at": state.ended_at,
            "direction": state.direction,
            "turned_because": state.turned_because,
            "paused": state.paused,
            "process": is_locked(state.model),
            "before": state.before,
            "to": state.to,
            "gateway": gateway,
            "percent": split.candidate_percent,
            "mirror_percent": split.mirror_percent,
            "interval_s": state.settings.interval_s,
            "objective": {"p99_ms": state.settings.p99_ms, "error_rate": state.settings.error_rate},
            "steps": _steps(state, entries),
            "gates": self._judgements(state, entries),
            "curves": self._curves_of(state),
            "journal": [vars(entry) for entry in entries[-_JOURNAL_LINES:]],
            "history": _history(states),
            "outcomes": dict(Counter(one.outcome for one in states if one.outcome)),
        }

    def _curves_of(self, state: RolloutState) -> dict[str, Any]:
        key = (state.model, state.settings.gateway_state)
        if key not in self._curves:
            self._curves[key] = Curves(Path(state.settings.gateway_state), state.model)
        return self._curves[key].take()

    def _judgements(self, state: RolloutState, entries: Sequence[Entry]) -> list[dict[str, Any]]:
        """What the journal says, and what gates that only read say at this moment of the step that is held."""
        found: dict[str, dict[str, Any]] = {}
        since = None
        for entry in entries:
            gates = _gates_in(entry)
            found = {name: {"name": name, "at": entry.at, **evidence} for name, evidence in gates.items()} or found
            if entry.kind == "begin":
                since = entry.at if _is_held(entry.data["step"]) and not state.outcome else None
        if since is not None and state.direction == "forward":
            for gate in self._gates_of(state):
                judgement = gate.judge(state.model, datetime.fromisoformat(since))
                words = {"verdict": judgement.verdict, "reasons": judgement.reasons}
                found[gate.name] = {"name": gate.name, "at": "now", **words, **judgement.evidence}
        return list(found.values())

    def _gates_of(self, state: RolloutState) -> Sequence[Gate]:
        if state.id not in self._gates:
            context = GateContext(
                model=state.model,
                unit=state.to,
                gateway_state=Path(state.settings.gateway_state),
                repository=state.repository,
                stable=ServedView(state.settings.stable_view, state.repository).address,
                candidate=ServedView(candidate_view(state.model), state.repository).address,
                objective=state.settings.objective,
                interval_s=state.settings.interval_s,
            )
            # Who looks asks nothing of a server: golden samples are asked by the rollout alone.
            self._gates = {state.id: [gate for gate in gates_for(context) if not isinstance(gate, GoldenGate)]}
        return self._gates[state.id]


def _split(state: RolloutState) -> tuple[Split, str]:
    """The shares that the gateway routes now, and why they are not known where they are not."""
    try:
        routing = read_routing(Path(state.settings.gateway_state))
    except (WrongUse, NotReachable) as error:
        return Split(), error.message if state.settings.use_gateway else "not used"
    return routing.splits.get(state.model, Split()), ""


def _steps(state: RolloutState, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    durations = {e.data["step"]: e.data.get("duration_s") for e in entries if e.kind == "done"}
    failed = {e.data["step"]: e.data["why"] for e in entries if e.kind == "failed"}
    steps = []
    for step in plan(state):
        is_begun = step.name == state.begun and not state.outcome
        phase = "done" if step.name in state.done else "now" if is_begun else "to come"
        what = {"name": step.name, "does": step.describe(state), "phase": phase}
        steps.append({**what, "duration_s": durations.get(step.name), "failed": failed.get(step.name, "")})
    return steps


def _gates_in(entry: Entry) -> dict[str, dict[str, Any]]:
    if entry.kind == "judged":
        return dict(entry.data["evidence"])
    if entry.kind == "done":
        return dict(entry.data.get("evidence", {}).get("gates", {}))
    return {}


def _is_held(step: str) -> bool:
    return step == "shadow" or step.startswith("weight-")


def _history(states: Sequence[RolloutState]) -> list[dict[str, Any]]:
    return [
        {"id": s.id, "to": s.to, "outcome": s.outcome or "under way", "at": s.ended_at or s.started_at, "who": s.who}
        for s in reversed(states[-10:])
    ]
