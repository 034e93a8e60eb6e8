"""``maas tune``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maas_server.tune_report import Verdict
    from maas_server.tune_search import Outcome
    from maas_server.tune_settings import Grid
    from maas_server.tune_slo import LatencyObjective


class _Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them."""

    name = "N,N,…"

    def __init__(self, least: int) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """``"1,16,64"`` -> ``(1, 16, 64)``."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isascii() and word.isdecimal() and int(word) >= self._least for word in words):
            self.fail(f"{value!r} is not a list of whole numbers of at least {self._least}, e.g. 1,16", param, ctx)
        return tuple(dict.fromkeys(int(word) for word in words))


@click.command(
    short_help="find the serving parameters of a model for this machine",
    epilog="Example: maas tune digits_cnn --slo p99=20ms",
)
@click.argument("model")
@click.option("--slo", help="Limits on latency, e.g. p99=20ms or p50=5ms,p99=20ms; by default the spec's p99.")
@click.option("--callers", type=_Numbers(1), default="1,16,64", show_default=True, help="Callers at the same time.")
@click.option("--gateway", "through_gateway", is_flag=True, help="Call through a gateway, which shares the machine.")
@click.option("--instances", type=_Numbers(1), default=(), help="Instance counts to try.")
@click.option("--threads", type=_Numbers(1), default=(), help="Threads for each instance to try (ONNX models).")
@click.option("--queue-delays-us", type=_Numbers(0), default=(), help="Delays of the dynamic batcher to try.")
@click.option(
    "--max-batch-sizes", type=_Numbers(1), default=(), help="Largest batches to try; larger requests are refused."
)
@click.option("--budget", "budget_s", type=click.FloatRange(min=1), default=170.0, show_default=True, help="Seconds.")
@click.option("--choices", type=click.Path(path_type=Path), help="The file to write to, instead of the specs' own.")
@click.option("--plot", "plot_path", type=click.Path(path_type=Path), help="By default build/reports/tune/MODEL.png.")
@click.option("--dry-run", is_flag=True, help="Measure and show, write no choice.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def tune(
    model: str,
    slo: str | None,
    callers: tuple[int, ...],
    through_gateway: bool,
    instances: tuple[int, ...],
    threads: tuple[int, ...],
    queue_delays_us: tuple[int, ...],
    max_batch_sizes: tuple[int, ...],
    budget_s: float,
    choices: Path | None,
    plot_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Search instances × threads × queue delay × batch size of MODEL on this machine against an objective.

    Chosen is what answers most requests a second while the objective holds; the present setting stays where nothing
    is clearly better. The choice is written beside the specs with the evidence. Exit code 1 where nothing holds.
    """
    from maas_core.layout import build_dir
    from maas_core.names import check_model_name
    from maas_server.tune_choice import BUSY_SHARE, busy_share, default_choices_path
    from maas_server.tune_settings import Grid

    target = choices or default_choices_path()
    busy = busy_share()
    if busy > BUSY_SHARE:
        words = f"warning: other programs use {busy:.0%} of this machine: what comes out holds for the rest of it"
        click.echo(words, err=True)
    verdict = _search(
        check_model_name(model),
        slo,
        callers,
        Grid(instances, threads, queue_delays_us, max_batch_sizes),
        budget_s,
        through_gateway=through_gateway,
        as_json=as_json,
    )
    picture = plot_path or build_dir() / "reports" / "tune" / f"{model}.png"
    _show(verdict, picture, as_json=as_json)
    _require_chosen(verdict)
    if not dry_run:
        _write(verdict, target, busy, through_gateway=through_gateway, is_default=choices is None, as_json=as_json)


def _search(
    model: str,
    slo: str | None,
    callers: tuple[int, ...],
    grid: Grid,
    budget_s: float,
    *,
    through_gateway: bool,
    as_json: bool,
) -> Verdict:
    from maas_core.config import read_config
    from maas_core.machine import cores
    from maas_core.manifest import read_manifest
    from maas_server.tune_bench import bench, bundle_to_tune
    from maas_server.tune_report import judge
    from maas_server.tune_settings import settings_to_try
    from maas_server.tune_slo import LatencyObjective, parse_objective

    asked = parse_objective(slo) if slo is not None else None
    bundle = bundle_to_tune(model)
    objective = asked or LatencyObjective({"p99": read_manifest(bundle).objective.p99_ms})
    config = read_config(bundle)
    settings = settings_to_try(config, grid, cores())
    with bench(bundle, config, callers, through_gateway=through_gateway) as measured:
        outcome = _with_progress(settings, len(callers), objective, measured.measure, budget_s, quiet=as_json)
    return judge(model, objective, outcome, settings[0])


def _with_progress(
    settings: Any, levels: int, objective: LatencyObjective, measure: Any, budget_s: float, *, quiet: bool
) -> Outcome:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from maas_server.tune_search import search

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("starting a server", total=None)

        def tell(number: int, position: int, total: int, what: str) -> None:
            words = f"round {number + 1}, {position + 1} of {total}: {what}"
            progress.update(task, description=words, completed=position, total=total)

        return search(settings, levels, objective, measure, budget_s, tell)


def _show(verdict: Verdict, picture: Path, *, as_json: bool) -> None:
    from rich.console import Console

    from maas_server import tune_report

    tune_report.plot(verdict, picture)
    if as_json:
        click.echo(json.dumps(tune_report.as_json(verdict) | {"plot": str(picture)}))
        return
    tune_report.print_verdict(verdict, Console())
    untried = len(verdict.outcome.untried)
    if untried:
        click.echo(f"settings not tried, since no time was left (--budget): {untried}")
    click.echo(f"plot: {picture}")


def _require_chosen(verdict: Verdict) -> None:
    from maas_core.errors import NotHeld

    if verdict.chosen is None:
        best = verdict.best_seen
        latencies = ", ".join(f"{name} {best.latency_ms[name]:.3g} ms" for name in verdict.objective.limits_ms)
        raise NotHeld(
            f"no setting of {verdict.model} holds {verdict.objective}; the nearest was {latencies} at "
            f"callers={best.callers} ({best.setting}); nothing is written",
            "allow more time, call with fewer at once, or make the model smaller",
        )


def _write(
    verdict: Verdict, target: Path, busy: float, *, through_gateway: bool, is_default: bool, as_json: bool
) -> None:
    from maas_server.tune_choice import evidence_of, write_choice

    assert verdict.chosen is not None  # noqa: S101  # the caller has refused that
    evidence = evidence_of(
        verdict.chosen, verdict.present, verdict.objective, busy, in_front="gateway" if through_gateway else "nothing"
    )
    write_choice(target, verdict.model, verdict.chosen, evidence)
    if is_default:
        _regenerate_config(verdict.model)
    if as_json:
        return
    if not verdict.changes:
        click.echo(f"the present setting stays; its evidence is in {target}")
        return
    click.echo(f"chosen: {verdict.chosen.setting}; written to {target}")
    done = "config.pbtxt follows it now; " if is_default else f"maas config --write {verdict.model}; "
    click.echo(f"next: {done}maas export {verdict.model}, then maas publish")


def _regenerate_config(model: str) -> None:
    """The committed config.pbtxt derives from the spec, which has just changed."""
    from maas_core.errors import MaasError

    command = [sys.executable, "-m", "maas_core", "config", "--write", model]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise MaasError(
            f"config.pbtxt could not be written: {said[-1] if said else 'no reason'}", "maas config --write"
        )
