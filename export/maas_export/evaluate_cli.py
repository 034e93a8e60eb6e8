from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_client._cli.options import api_key_option

if TYPE_CHECKING:
    from maas_export.evaluate import ServedEvaluation


@click.command(
    epilog="""Examples:

    maas evaluate digits --url grpc://127.0.0.1:8001

    maas evaluate digits --data labelled-pictures/ --worst 20""",
    short_help="Measure a model as it is served, on labelled data.",
)
@click.argument("model")
@click.option("--data", type=click.Path(path_type=Path), help="Labelled data (default: the built-in held-out data).")
@click.option("--url", default="grpc://127.0.0.1:8001", show_default=True, help="The server: grpc://… or http://…")
@api_key_option
@click.option("--worst", type=click.IntRange(0), default=0, metavar="N", help="Show the N most wrong answers.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Ask N cases only, spread evenly over all.")
@click.option("--seed", type=int, help="Of the built-in data's split (default: as the weights were trained).")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Write what was seen as a picture.")
@click.option("--json", "as_json", is_flag=True, help="Print the evaluation as JSON.")
def evaluate(
    *,
    model: str,
    data: Path | None,
    url: str,
    api_key: str | None,
    worst: int,
    limit: int | None,
    seed: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Takes the same measures as `maas train`, but on MODEL as it is served, pre- and postprocessing included.

    A case that the server answers with an error counts as a wrong answer. What --data takes depends on the model; see
    its page under docs/models/.
    """
    from maas_core.files import write_atomic
    from maas_export.evaluate import evaluate_served

    seen = evaluate_served(model, url=url, api_key=api_key, data=data, seed=seed, limit=limit)
    if plot is not None:
        write_atomic(plot, seen.evaluation.picture)
    if as_json:
        click.echo(json.dumps(_as_json(model, seen, worst)))
    else:
        _show(model, seen, worst, plot)


def _as_json(model: str, seen: ServedEvaluation, worst: int) -> dict[str, object]:
    shown = [
        {"case": case.shown, "wanted": verdict.wanted, "got": verdict.got, "badness": verdict.badness}
        for case, verdict in seen.worst(worst)
    ]
    return {"model": model, **seen.evaluation.as_dict(), "errors": seen.errors, "worst": shown}


def _show(model: str, seen: ServedEvaluation, worst: int, plot: Path | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    evaluation = seen.evaluation
    table = Table("figure", "value")
    for name, value in evaluation.figures.items():
        table.add_row(name, f"{value:.4g}")
    Console().print(table)
    errors = f"; {seen.errors} answered with an error" if seen.errors else ""
    click.echo(f"{model} as served: {evaluation.measure} {evaluation.value:.4g} on {len(seen.cases)} cases{errors}")
    if worst:
        rows = seen.worst(worst)
        mistakes = Table("case", "wanted", "got", title=f"the {len(rows)} most wrong answers", title_justify="left")
        for case, verdict in rows:
            mistakes.add_row(escape(case.shown), escape(verdict.wanted), escape(verdict.got))
        Console().print(mistakes)
    if plot is not None:
        click.echo(f"picture: {plot}")
