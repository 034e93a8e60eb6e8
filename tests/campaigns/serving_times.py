"""Which version the journal says was serving when, and what answers say otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from maas_core.releases import PIN, Entry, read_entries
from tests.campaigns.callers import Answer
from tests.campaigns.versions import MODEL

_BACK_AT_THE_STABLE = ("return-traffic", "restore-traffic")
_SWITCHED = ("promote", "restore-stable")


@dataclass
class Serving:
    """A version that callers could get, from one moment to another, seconds since the epoch."""

    version: int
    from_s: float
    until_s: float = math.inf


def serving_times(entries: Iterable[Entry], first: int) -> list[Serving]:
    """By a journal.

    Args:
        entries: of the model's journal.
        first: the version that served before the first entry.
    """
    stable = Serving(first, 0.0)
    found, replaced = [stable], list[Serving]()
    candidate: Serving | None = None
    for entry in entries:
        at_s, step = seconds(entry.at), entry.data.get("step", "")
        if entry.kind == "done" and step == "publish":
            candidate = Serving(entry.data["evidence"]["versions"][MODEL], math.inf)
        elif entry.kind == "begin" and step.startswith("weight-") and candidate and candidate.from_s == math.inf:
            candidate.from_s = at_s
            found.append(candidate)
        elif entry.kind == "done" and step in _BACK_AT_THE_STABLE and candidate:
            candidate.until_s = at_s
        elif entry.kind == PIN and entry.data["versions"].get(MODEL, stable.version) != stable.version:
            replaced.append(stable)
            stable = Serving(entry.data["versions"][MODEL], at_s)
            found.append(stable)
        elif entry.kind == "done" and step in _SWITCHED:
            for old in replaced:
                old.until_s = at_s
            replaced = []
    return found


def strangers(answers: Sequence[Answer], times: Sequence[Serving], factors: dict[int, float]) -> list[str]:
    """Answers that are wrong, or of a version that nobody should have got then.

    Args:
        answers: those without an error.
        times: see :func:`serving_times`.
        factors: what each version multiplies by.
    """
    found = []
    for answer in answers:
        if answer.factor != factors.get(answer.version):
            found.append(f"version {answer.version} answered {answer.factor:g} × x")
        elif not any(
            one.version == answer.version and one.from_s <= answer.done_s and answer.sent_s <= one.until_s
            for one in times
        ):
            found.append(f"version {answer.version} answered what was sent at {answer.sent_s:.3f}")
    return found


def entries_of(journal: Path, rollout: str) -> list[Entry]:
    """The entries of one rollout."""
    return [entry for entry in read_entries(journal) if entry.rollout == rollout]


def last_rollout(journal: Path) -> str:
    """The id of the rollout that was begun last."""
    return read_entries(journal)[-1].rollout


def seconds(at: str) -> float:
    """An ISO 8601 time as seconds since the epoch."""
    return datetime.fromisoformat(at).timestamp()
