"""Whole rollouts in a row under traffic: no request fails, and each answer is of a version that served then.

``python -m tests.campaigns.rollouts --count 30``
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass

import click
import numpy as np

from maas_core.errors import ExitCode
from maas_core.releases import read_entries
from tests.campaigns.callers import Answer, calling
from tests.campaigns.serving_times import entries_of, last_rollout, serving_times, strangers
from tests.campaigns.stack import Stack, stack, table
from tests.campaigns.versions import make_version

_SETTLE_S = 2.0
_LEAST_SENT = 0.95


@dataclass(frozen=True)
class Whole:
    """One rollout.

    Attributes:
        outcome: as the journal says.
        version: the version that it was about.
        said: the last line of the command, where it did not end well.
    """

    outcome: str
    version: int
    seconds: float
    said: str = ""


@click.command(epilog="Example: python -m tests.campaigns.rollouts --count 30")
@click.option("--count", default=30, show_default=True)
@click.option("--rate", default=200.0, show_default=True, help="Requests per second, half over each protocol.")
@click.option("--steps", default="25,50,100", show_default=True)
@click.option("--interval", "interval_s", default=10.0, show_default=True, help="Seconds.")
@click.option(
    "--load-time", default="10s", show_default=True, help="Of the load test of each candidate; 0s leaves it out."
)
@click.option("--shadow", is_flag=True, help="Each with a tenth of the requests mirrored.")
def rollouts(count: int, rate: float, steps: str, interval_s: float, load_time: str, shadow: bool) -> None:
    """Releases build after build, each with a factor of its own, and compares every answer."""
    rows, problems = [], Counter[str]()
    options = ["--load-time", load_time, *(["--shadow"] if shadow else [])]
    with stack() as running:
        factors = {running.first: 1.0}
        with calling(running.http, running.http, rate) as record:
            time.sleep(_SETTLE_S)
            for build in range(1, count + 1):
                began_s = time.time()
                done = release(running, build, steps, interval_s, *options)
                factors[done.version] = float(build + 1)
                answers = record.since(began_s)
                found = judged(running, answers, factors)
                problems.update(found)
                rows.append(row(build, done, answers, len(found)))
                click.echo(table(_TITLE, [rows[-1]]).splitlines()[-1])
    click.echo("\n" + table(_TITLE, rows))
    back = sum(cells[2] != "promoted" for cells in rows)
    click.echo(
        f"{len(record.answers):,} answers, {record.sent_share:.1%} of what was due; {count - back} of {count} promoted"
    )
    for problem, times in problems.most_common(10):
        click.echo(f"PROBLEM {times} × {problem}")
    if record.sent_share < _LEAST_SENT:
        click.echo(f"NOT VALID: the machine could not send {rate:g} requests/s")
        sys.exit(ExitCode.NOT_VALID)
    # The builds differ in their factor alone: what is taken back is a false alarm, and one may be.
    sys.exit(ExitCode.NOT_HELD if problems or back > 1 else ExitCode.DONE)


_TITLE = ("build", "version", "outcome", "seconds", "answers", "problems", "by version", "p50 ms", "p99 ms", "why")


def release(running: Stack, build: int, steps: str, interval_s: float, *options: str) -> Whole:
    """One rollout, to its end."""
    bundle = make_version(running.work / "bundles", build, factor=build + 1)
    began_s = time.monotonic()
    done = running.rollout(bundle, steps, interval_s, *options)
    took_s = time.monotonic() - began_s
    entries = entries_of(running.journal, last_rollout(running.journal))
    end = next((entry for entry in entries if entry.kind == "end"), None)
    outcome = end.data["outcome"] if end else "not ended"
    why = end.data["why"] if end and outcome != "promoted" else done.stderr.strip()[-200:]
    published = next((e for e in entries if e.kind == "done" and e.data["step"] == "publish"), None)
    version = next(iter(published.data["evidence"]["versions"].values())) if published else 0
    return Whole(outcome, version, took_s, why)


def row(build: int, done: Whole, answers: list[Answer], problems: int) -> list[object]:
    """A line of the table."""
    good = [answer for answer in answers if not answer.error]
    p50, p99 = np.percentile([answer.latency_ms for answer in good], [50, 99]) if good else (0.0, 0.0)
    by_version = " ".join(f"{v}:{n}" for v, n in sorted(Counter(answer.version for answer in good).items()))
    figures = [f"{done.seconds:.0f}", len(answers), problems, by_version, f"{p50:.1f}", f"{p99:.0f}"]
    return [build, done.version, done.outcome, *figures, done.said]


def judged(running: Stack, answers: list[Answer], factors: dict[int, float]) -> list[str]:
    """Everything that should not have happened."""
    failed = [f"{answer.protocol}: {answer.error}" for answer in answers if answer.error]
    times = serving_times(read_entries(running.journal), running.first)
    return [*failed, *strangers([answer for answer in answers if not answer.error], times, factors)]


if __name__ == "__main__":
    rollouts()
