"""``maas load run`` and ``maas load scenarios``."""

from __future__ import annotations

import ast
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from maas_loadtest.settings import OPTIONS, shown_command

if TYPE_CHECKING:
    from maas_loadtest.report_model import Latency, LoadReport

_LIVE = ("offered_per_s", "answered_per_s", "p50_us", "p99_us", "answered", "errors", "dropped", "in_flight")


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        shown = "" if option.default is None else f"  [default: {option.default}]"
        metavar = {"text": "TEXT", "seconds": "TIME"}.get(option.kind, "NUMBER")
        command = click.option(option.flag, option.name, metavar=metavar, help=option.help + shown)(command)
    return command


@click.command(
    epilog="""Examples:

    maas load run server --model digits_cnn --rate 200 --duration 60

    maas load run server --model digits_cnn --rate 200 --slo p99=20ms,errors=0.1% --processes 2

    maas load run single_stream --url http://127.0.0.1:8000 --model digits

    maas load run mixed --model digits_cnn=3,digits=1 --rate 50 --json""",
)
@click.argument("scenario")
@_with_options
@click.option("--processes", type=click.IntRange(min=0), default=0, help="Worker processes; 0 sends from one process.")
@click.option("--remote-workers", type=click.IntRange(min=0), default=0, help="Wait for so many on other machines.")
@click.option("--listen", default="127.0.0.1:5557", show_default=True, help="Where these connect to.")
@click.option("--web-port", type=click.IntRange(0, 65535), default=0, help="Locust's page on 127.0.0.1 while it runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def run(
    scenario: str,
    *,
    processes: int,
    remote_workers: int,
    listen: str,
    web_port: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Run SCENARIO against a server and judge it: VALID (exit code 0), SLO_FAILED (1) or INVALID (4).

    SCENARIO is a name (see `maas load scenarios`) or a Locust file of your own. The report is a folder with report.html
    and report.json.
    """
    from maas_loadtest.report_model import read_report
    from maas_loadtest.run import Crew, run_scenario

    crew = Crew(processes, remote_workers, listen, web_port)
    command = shown_command(["maas", *sys.argv[1:]])
    with _told(scenario) as tell:
        path = run_scenario(scenario, options, crew=crew, tell=tell, command=command)
    report = read_report(path)
    summary = summary_of(report, path.parent)
    click.echo(json.dumps(summary) if as_json else _in_words(report, summary))
    click.get_current_context().exit(int(report.verdict.status.exit_code))


@click.command(epilog="Example: maas load scenarios")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def scenarios(*, as_json: bool) -> None:
    """List the scenarios and what each asks."""
    from maas_loadtest.run import scenario_names, scenarios_dir

    questions = {}
    for name in scenario_names():
        text = ast.get_docstring(ast.parse((scenarios_dir() / f"{name}.py").read_text(encoding="utf-8"))) or ""
        questions[name] = text.partition("\n")[0]
    if as_json:
        click.echo(json.dumps(questions))
        return
    width = max(map(len, questions))
    for name, question in questions.items():
        click.echo(f"{name:<{width}}  {question}")


@contextlib.contextmanager
def _told(scenario: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A live table on a terminal, nothing elsewhere."""
    from maas_loadtest.live import LiveRow, LiveTable

    with contextlib.ExitStack() as stack:
        table: LiveTable | None = None
        models = ""

        def tell(event: Mapping[str, Any]) -> None:
            nonlocal table, models
            if event["event"] == "planned":
                models = ", ".join(event["models"])
                table = stack.enter_context(LiveTable(f"{scenario}: {models}", event["duration_s"]))
                table.update(-event["warmup_s"], [])
            elif event["event"] == "progress" and table is not None:
                row = LiveRow(name=models, **{name: event[name] for name in _LIVE})
                table.update(event["at_s"], [row], f"generator {event['cpu_percent']:.0f} % of a core")

        yield tell


def summary_of(report: LoadReport, folder: Any) -> dict[str, Any]:
    """What a machine wants to know without reading the report."""
    return {
        "scenario": report.scenario.name,
        "loop": report.scenario.loop,
        "status": report.verdict.status,
        "exit_code": int(report.verdict.status.exit_code),
        "reasons": list(report.verdict.reasons),
        "report": str(folder / "report.json"),
        "html": str(folder / "report.html"),
        "totals": report.totals.model_dump(),
        "response_us": {f"p{one.percent:g}": one.latency_us for one in report.response.percentiles},
        "service_us": {f"p{one.percent:g}": one.latency_us for one in report.service.percentiles},
        "models": {one.model: {"answered": one.answered, "versions": one.versions} for one in report.models},
        "schedule_sha256": report.schedule.sha256,
        "seed": report.seed,
    }


def _in_words(report: LoadReport, summary: Mapping[str, Any]) -> str:
    totals = report.totals
    lines = [
        f"{report.verdict.status}: {report.scenario.question}",
        *(f"  not held: {reason}" for reason in report.verdict.reasons),
        f"  {totals.answered:,} answered, {totals.errors:,} errors, {totals.dropped:,} dropped",
        f"  {totals.achieved_per_s:,.1f} of {totals.offered_per_s:,.1f} per second for {report.duration_s:.1f} s"
        f" ({report.scenario.loop} loop)",
        f"  {'':10}" + "".join(f"{'p' + format(one.percent, 'g'):>10}" for one in report.response.percentiles),
    ]
    rows: list[tuple[str, Latency | None]] = [("response", report.response), ("service", report.service)]
    for model in report.models:
        rows += [("first", model.first_token), ("between", model.between_tokens)] if model.first_token else []
    for name, latency in rows:
        if latency is not None:
            cells = (_ms(one.latency_us) + (" " if one.supported else "*") for one in latency.percentiles)
            lines.append(f"  {name + ' ms':10}" + "".join(f"{cell:>10}" for cell in cells))
    if not all(one.supported for one in report.response.percentiles):
        lines.append("  * too few answers for a claim about this percentile")
    lines += [
        f"  {one.model} {one.version} at the server, in the mean: queue {one.queue_us / 1000:.3f}, "
        f"input {one.compute_input_us / 1000:.3f}, infer {one.compute_infer_us / 1000:.3f}, "
        f"output {one.compute_output_us / 1000:.3f} ms; {one.inferences / max(1, one.executions):.2f} per batch"
        for one in report.server
    ]
    lines += [f"  {entry.count:,} × {entry.kind}: {entry.message}" for entry in report.errors[:5]]
    return "\n".join([*lines, f"  report: {summary['html']}"])


def _ms(latency_us: int | None) -> str:
    return "–" if latency_us is None else f"{latency_us / 1000:.3f}"
