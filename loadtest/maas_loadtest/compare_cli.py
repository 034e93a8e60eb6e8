"""``maas load compare``: two load tests side by side, and a gate against a stored baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_loadtest.compare import Comparison

_FIGURES = "p50,p99,throughput,lost"


@click.command(
    epilog="""Examples:

    maas load compare build/reports/load/monday build/reports/load/tuesday

    maas load compare baselines/server.json build/reports/load/tuesday --gate

    maas load compare baselines/server.json build/reports/load/tuesday --gate --store baselines/server.json""",
)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--gate",
    is_flag=True,
    help="Exit code 1 where a figure is worse, 4 where the two cannot be compared or no figure can be told.",
)
@click.option("--strict", is_flag=True, help="With --gate: exit code 4 also where a loss is not ruled out.")
@click.option("--figures", default=_FIGURES, show_default=True, help="That the gate looks at.")
@click.option(
    "--tolerance", type=click.FloatRange(0, 100), default=5.0, show_default=True, help="Accepted loss in per cent."
)
@click.option(
    "--lost-tolerance",
    type=click.FloatRange(0, 100),
    default=0.1,
    show_default=True,
    help="Accepted growth of the share of errors and dropped requests, in percentage points.",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of the bootstrap.")
@click.option("--resamples", type=click.IntRange(100, 20_000), default=1000, show_default=True)
@click.option("--html", "html_path", type=click.Path(dir_okay=False, path_type=Path), help="Where to write the page.")
@click.option(
    "--store",
    "store_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the candidate's report there as the next baseline, unless it is worse or the two cannot be compared.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(
    *,
    baseline: Path,
    candidate: Path,
    gate: bool,
    strict: bool,
    figures: str,
    tolerance: float,
    lost_tolerance: float,
    seed: int,
    resamples: int,
    html_path: Path | None,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Compare the load tests BASELINE and CANDIDATE: report.json files, their folders, or folders of several runs.

    A figure is worse where it changed by more than the tolerance and the 95 % interval of the change (bootstrap over
    blocks of windows) excludes chance. Exit code without --gate: 0.
    """
    # Imported here: the list of all commands needs none of it.
    from maas_core.errors import WrongUse
    from maas_core.files import write_atomic
    from maas_loadtest import compare as comparing
    from maas_loadtest.html_report.compare_page import compare_html
    from maas_loadtest.report_files import new_folder

    gated = tuple(figures.split(","))
    if unknown := [name for name in gated if name not in comparing.FIGURES]:
        raise WrongUse(f"--figures: {unknown[0]!r} is none", f"there are {', '.join(comparing.FIGURES)}")
    sides = [comparing.read_side(path) for path in (baseline, candidate)]
    if store_path is not None and len(sides[1]) > 1:
        raise WrongUse(f"--store keeps one report, {candidate} holds {len(sides[1])}", "keep that folder, or name one")
    found = comparing.compare(
        *sides,
        tolerance=tolerance / 100,
        lost_tolerance=lost_tolerance / 100,
        gated=gated,
        resamples=resamples,
        seed=seed,
    )
    page = html_path or new_folder("compare") / "compare.html"
    fit = not found.obstacles and not found.regressions
    try:
        write_atomic(page, compare_html(found))
        if store_path is not None and fit:
            write_atomic(store_path, sides[1][0].model_dump_json())
    except OSError as error:
        raise WrongUse(f"{error.filename or page} cannot be written: {error.strerror or error}") from error
    if as_json:
        click.echo(json.dumps({**found.as_json(), "html": str(page)}))
    else:
        _show(found, page)
    if gate:
        _judge(found, strict=strict)


def _show(found: Comparison, page: Path) -> None:
    from maas_loadtest.html_report.compare_page import change_table, conclusion
    from maas_loadtest.html_report.page import Toned

    _, status, meaning, reasons = conclusion(found)
    click.echo(f"{status}: {meaning}")
    for reason in reasons:
        click.echo(f"  {reason}")
    source = change_table(found)
    lines = [source.head, *([cell.text if isinstance(cell, Toned) else cell for cell in row] for row in source.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(source.head))]
    for line in lines:
        texts = (
            cell.ljust(width) if column < source.numbers_from else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        click.echo("  ".join(texts).rstrip())
    click.echo(f"written: {page}")


def _judge(found: Comparison, *, strict: bool) -> None:
    from maas_core.errors import NotHeld
    from maas_loadtest.html_report.compare_page import change_in_words, name_of
    from maas_loadtest.validity import NotValid

    if found.obstacles:
        raise NotValid(f"cannot be compared: {'; '.join(found.obstacles)}")
    if found.regressions:
        raise NotHeld(f"worse than the baseline: {'; '.join(map(change_in_words, found.regressions))}")
    if found.unclear and (strict or found.tells_nothing):
        raise NotValid(
            f"a loss is not ruled out for {', '.join(map(name_of, found.unclear))}", "measure longer, or several runs"
        )
