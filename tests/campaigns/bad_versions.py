"""Bad versions under traffic: each is rolled back within two intervals of its first callers, and none is promoted.

``python -m tests.campaigns.bad_versions --count 30``
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from maas_core.releases import Entry
from tests.campaigns.callers import Answer, calling
from tests.campaigns.serving_times import entries_of, last_rollout, seconds
from tests.campaigns.stack import Stack, stack, table
from tests.campaigns.versions import BAD_KINDS, make_version

_SETTLE_S = 2.0
_INTERVALS = 2.0
_FACTOR = 1


@dataclass(frozen=True)
class Trial:
    """One bad version.

    Attributes:
        caught_at: the step at which it was turned back.
        exposed_s: how long callers or mirrored requests had come to it by then.
        why: the words in the journal.
    """

    kind: str
    outcome: str
    caught_at: str
    exposed_s: float
    why: str

    def problem(self, interval_s: float) -> str:
        """Why the campaign fails; empty where it does not."""
        if self.outcome != "rolled back":
            return f"{self.kind}: {self.outcome}"
        if self.exposed_s > _INTERVALS * interval_s:
            return f"{self.kind}: turned back after {self.exposed_s:.1f} s"
        return ""


@click.command(epilog="Example: python -m tests.campaigns.bad_versions --count 30")
@click.option("--count", default=30, show_default=True)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(BAD_KINDS), help="Only these, in turn.")
@click.option("--rate", default=200.0, show_default=True, help="Requests per second, half over each protocol.")
@click.option("--steps", default="25,50,100", show_default=True)
@click.option("--interval", "interval_s", default=10.0, show_default=True, help="Seconds.")
def bad_versions(count: int, kinds: Sequence[str], rate: float, steps: str, interval_s: float) -> None:
    """Releases bad builds, one after the other, kind by kind."""
    kinds = kinds or BAD_KINDS
    trials, rows = [], []
    with stack() as running, calling(running.http, running.http, rate) as record:
        time.sleep(_SETTLE_S)
        for build in range(1, count + 1):
            began_s = time.time()
            trial = attempt(running, build, kinds[(build - 1) % len(kinds)], steps, interval_s)
            trials.append(trial)
            rows.append(row(build, trial, record.since(began_s)))
            click.echo(table(_TITLE, [rows[-1]]).splitlines()[-1])
    problems = [problem for trial in trials if (problem := trial.problem(interval_s))]
    click.echo("\n" + table(_TITLE, rows))
    click.echo(f"{count - len(problems)} of {count} rolled back within {_INTERVALS:g} intervals of {interval_s:g} s")
    for problem in problems:
        click.echo(f"PROBLEM {problem}")
    sys.exit(1 if problems else 0)


_TITLE = ("build", "kind", "outcome", "caught at", "exposed s", "answers", "failed", "wrong", "why")


def attempt(running: Stack, build: int, kind: str, steps: str, interval_s: float) -> Trial:
    """One rollout, to its end. What answers wrongly is found by comparing: its rollout mirrors first."""
    bundle = make_version(running.work / "bundles", build, kind, factor=_FACTOR)
    # Without the load test, which would find some of them: what is tried here is the gates.
    options = ["--load-time", "0s", *(["--shadow", "--shadow-differences", "5%"] if kind == "wrong" else [])]
    done = running.rollout(bundle, steps, interval_s, *options)
    entries = entries_of(running.journal, last_rollout(running.journal))
    end = next((entry for entry in entries if entry.kind == "end"), None)
    turn = next((entry for entry in entries if entry.kind == "turn"), None)
    outcome = end.data["outcome"] if end else f"not ended ({done.stderr.strip()[-200:]})"
    exposed_s, step = exposure(entries, turn)
    return Trial(kind, outcome, step, exposed_s, turn.data["why"] if turn else "")


def exposure(entries: Sequence[Entry], turn: Entry | None) -> tuple[float, str]:
    """How long requests had come to the candidate when it was turned back, and at which step that was."""
    if turn is None:
        return 0.0, ""
    begins = [entry for entry in entries if entry.kind == "begin" and entry.seq < turn.seq]
    exposed = [entry for entry in begins if entry.data["step"].startswith(("weight-", "shadow"))]
    exposed_s = seconds(turn.at) - seconds(exposed[0].at) if exposed else 0.0
    return exposed_s, begins[-1].data["step"] if begins else ""


def row(build: int, trial: Trial, answers: Sequence[Answer]) -> list[object]:
    """A line of the table."""
    failed = sum(bool(answer.error) for answer in answers)
    wrong = sum(not answer.error and answer.factor != _FACTOR for answer in answers)
    counts = [f"{trial.exposed_s:.1f}", len(answers), failed, wrong]
    return [build, trial.kind, trial.outcome, trial.caught_at, *counts, trial.why[:160]]


if __name__ == "__main__":
    bad_versions()
