"""Good versions under traffic, the same but for a comment: at most one of 30 is turned back.

``python -m tests.campaigns.good_versions --count 30``
"""

from __future__ import annotations

import sys
import time

import click

from tests.campaigns.bad_versions import attempt
from tests.campaigns.callers import calling
from tests.campaigns.stack import stack, table

_SETTLE_S = 2.0
_MOST_FALSE_ALARMS = 1


@click.command(epilog="Example: python -m tests.campaigns.good_versions --count 30")
@click.option("--count", default=30, show_default=True)
@click.option("--rate", default=200.0, show_default=True, help="Requests per second, half over each protocol.")
@click.option("--steps", default="25,50,100", show_default=True)
@click.option("--interval", "interval_s", default=10.0, show_default=True, help="Seconds.")
def good_versions(count: int, rate: float, steps: str, interval_s: float) -> None:
    """Releases the same model again and again."""
    title = ("build", "outcome", "caught at", "answers", "failed", "why")
    rows = []
    with stack() as running, calling(running.http, running.http, rate) as record:
        time.sleep(_SETTLE_S)
        for build in range(1, count + 1):
            began_s = time.time()
            trial = attempt(running, build, "good", steps, interval_s)
            answers = record.since(began_s)
            failed = sum(bool(answer.error) for answer in answers)
            rows.append([build, trial.outcome, trial.caught_at, len(answers), failed, trial.why[:160]])
            click.echo(table(title, [rows[-1]]).splitlines()[-1])
    click.echo("\n" + table(title, rows))
    alarms = sum(cells[1] != "promoted" for cells in rows)
    click.echo(f"{alarms} false alarms in {count} rollouts")
    sys.exit(1 if alarms > _MOST_FALSE_ALARMS else 0)


if __name__ == "__main__":
    good_versions()
