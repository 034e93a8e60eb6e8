"""``maas load peak``: the highest rate that holds an objective."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_loadtest.peak import Bounds, Peak, Probe
    from maas_loadtest.peak_probe import Prober


@click.command(
    context_settings={"ignore_unknown_options": True},
    epilog="""Examples:

    maas load peak --model digits_cnn --slo p99=20ms,errors=0.1%

    maas load peak --model digits --slo p99=50ms --start 20 --duration 20 --url http://127.0.0.1:8000 --processes 2""",
)
@click.option("--slo", required=True, help="What must hold, e.g. p99=20ms,errors=0.1%.")
@click.option("--scenario", default="server", show_default=True, help="An open loop of `maas load run`.")
@click.option(
    "--start", "start_per_s", type=click.FloatRange(0.1, 1e6), default=50.0, show_default=True, help="First rate."
)
@click.option("--lowest", "lowest_per_s", type=click.FloatRange(0.1, 1e6), default=1.0, show_default=True)
@click.option("--highest", "highest_per_s", type=click.FloatRange(0.1, 1e6), default=10_000.0, show_default=True)
@click.option(
    "--resolution",
    type=click.FloatRange(0.5, 50),
    default=5.0,
    show_default=True,
    help="How near above the peak a failing rate must be found, in per cent.",
)
@click.option(
    "--duration", default="15s", show_default=True, help="Of each load test; longer where a percentile needs it."
)
@click.option(
    "--confirmations",
    type=click.IntRange(0, 20),
    default=5,
    show_default=True,
    help="How often the peak is asked again.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the first load test.")
@click.option(
    "--report",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where reports go.  [default: build/reports/load/TIME-peak]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.argument("run_options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF maas load run]")
def peak(
    *,
    slo: str,
    scenario: str,
    start_per_s: float,
    lowest_per_s: float,
    highest_per_s: float,
    resolution: float,
    duration: str,
    confirmations: int,
    seed: int,
    folder: Path | None,
    as_json: bool,
    run_options: tuple[str, ...],
) -> None:
    """Find the highest rate that holds an objective: doubled until one fails, bisected, and asked five times again.

    Options that are not listed here go to `maas load run`: --model, --url, --batch-size, --processes, ...
    Exit codes: 0 found and confirmed; 1 not even the lowest rate holds; 4 the limit was the generator's, or the peak
    was not confirmed.
    """
    # Imported here: the list of all commands needs none of it.
    from maas_core.errors import MaasError, WrongUse
    from maas_core.service_level import parse_service_level
    from maas_loadtest.peak import Bounds, Peak
    from maas_loadtest.peak_probe import Prober
    from maas_loadtest.report_files import check_writable, new_folder
    from maas_loadtest.settings import seconds, without_key

    if not lowest_per_s <= start_per_s <= highest_per_s:
        raise WrongUse(
            f"--start {start_per_s:g} does not lie between --lowest {lowest_per_s:g} and --highest {highest_per_s:g}"
        )
    level = parse_service_level(slo)
    arguments, api_key = without_key(run_options)
    target = folder or new_folder("peak")
    check_writable(str(target))
    prober = Prober(scenario, arguments, slo, level, seconds(duration), target, seed, api_key)
    bounds = Bounds(start_per_s, lowest_per_s, highest_per_s, resolution / 100)
    found = Peak(str(level))
    try:
        _search(prober, bounds, found, confirmations)
    except MaasError:
        if found.probes:
            _write(found, target, prober)
        raise
    _write(found, target, prober)
    if as_json:
        click.echo(json.dumps({**found.as_json(), "html": str(target / "peak.html")}))
    else:
        from maas_loadtest.html_report.peak_page import as_text

        click.echo(f"{as_text(found)}\nwritten: {target / 'peak.html'}")
    _judge(found)


def _search(prober: Prober, bounds: Bounds, found: Peak, confirmations: int) -> None:
    from maas_loadtest.peak import search

    def ask(rate_per_s: float, confirms: bool) -> Probe:
        started = time.monotonic()
        probe = prober.probe(rate_per_s, len(found.probes), confirms=confirms)
        _say(probe, time.monotonic() - started)
        return probe

    try:
        with _sigterm_interrupts():
            search(ask, bounds, found, confirmations)
    except KeyboardInterrupt:
        click.echo("stopped early", err=True)


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """As Ctrl-C does: the load test under way is ended too, and the page is written."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(probe: Probe, took_s: float) -> None:
    from maas_loadtest.html_report import units

    held = "holds" if probe.holds else f"fails: {'; '.join(probe.reasons)}"
    again = " (again)" if probe.confirms else ""
    latency = f"{units.percent_name(probe.percent)} {units.latency(probe.latency_us)}"
    click.echo(f"{units.rate(probe.rate_per_s):>8}/s{again}  {latency}  {held}  [{took_s:.0f} s]", err=True)


def _write(found: Peak, folder: Path, prober: Prober) -> None:
    from maas_core.files import write_atomic
    from maas_core.machine import machine_in_words
    from maas_loadtest.html_report.peak_page import peak_html
    from maas_loadtest.settings import shown_command
    from maas_loadtest.validity import NotValid

    about = [
        ("command", shown_command(["maas", *sys.argv[1:]])),
        ("scenario", prober.scenario),
        ("options", shlex.join(prober.arguments)),
        ("seed of the first load test", str(prober.seed)),
        ("machine", machine_in_words()),
    ]
    try:
        write_atomic(folder / "peak.json", json.dumps(found.as_json(), indent=1))
        write_atomic(folder / "peak.html", peak_html(found, about))
    except OSError as error:
        raise NotValid(f"{folder} cannot be written: {error.strerror or error}", "make room and run again") from error


def _judge(found: Peak) -> None:
    from maas_core.errors import NotHeld
    from maas_loadtest.html_report.peak_page import as_text
    from maas_loadtest.peak import PeakStatus
    from maas_loadtest.validity import NotValid

    if found.status is PeakStatus.NONE_HOLDS:
        raise NotHeld(as_text(found), "look at the reports of the load tests")
    if found.status is not PeakStatus.FOUND:
        raise NotValid(as_text(found))
