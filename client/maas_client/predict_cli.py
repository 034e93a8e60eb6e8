"""``maas predict``: a served model on real files, texts and sequences."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from maas_client._cli.exit_codes import NotHeld, errors_as_exit_codes
from maas_client._cli.options import api_key_option

if TYPE_CHECKING:
    from maas_client import Client
    from maas_client._cli.asking import Answered, Question
    from maas_client._cli.items import Item
    from maas_client._plots import Plot


@click.command(
    epilog="""Examples:

    maas predict digits three.png seven.jpg

    maas predict digits_cnn images.npz --json --output logits

    maas predict adder readings.csv --column x --plot forecast.png

    maas predict counter --input n=5""",
)
@click.argument("model")
@click.argument("inputs", nargs=-1, metavar="INPUT...")
@click.option("--url", default="grpc://127.0.0.1:8001", show_default=True, help="The server: grpc://, http://, ...")
@api_key_option
@click.option(
    "--input", "given", multiple=True, metavar="NAME=VALUE", help="The value of a further input; again for a list."
)
@click.option("--output", "outputs", multiple=True, metavar="NAME", help="Show only this output; may be repeated.")
@click.option("--column", metavar="NAME", help="Of a CSV file with several columns: the one with the observations.")
@click.option("--model-version", type=click.IntRange(min=1), help="Ask this version, not the newest that is ready.")
@click.option("--timeout", "timeout_s", type=float, default=60.0, show_default=True, help="Seconds for each input.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list; of a stream, one JSON object a line.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.png",
    help="Draw the answers: boxes over the picture, attention, forecast, likeness of texts, labels.",
)
def predict(
    *,
    model: str,
    inputs: tuple[str, ...],
    url: str,
    api_key: str | None,
    given: tuple[str, ...],
    outputs: tuple[str, ...],
    column: str | None,
    model_version: int | None,
    timeout_s: float,
    as_json: bool,
    plot_path: Path | None,
) -> None:
    """Call a served MODEL and show its answers.

    INPUT is a file (a picture; a text; .npz and .json with an array for each input), '-' for standard input, or, for a
    model that takes a text, the text itself. A model that keeps a state takes a CSV file as one sequence, observation
    by observation, and its last answer is shown. The answers of a decoupled model are shown as they come. An input
    that fails is shown with its error, the others get their answers, and the exit code is 1.
    """
    # Imported here: the list of all commands needs none of it.
    from maas_client import Client
    from maas_client._check import check_outputs
    from maas_client._cli.asking import Question
    from maas_client._cli.items import Target, given_values, open_items
    from maas_client._cli.streaming import stream_items
    from maas_client._plots import choose_plot

    with errors_as_exit_codes(), Client(url, api_key=api_key, timeout_s=timeout_s) as client:
        spec = client.describe(model, model_version=model_version)
        check_outputs(spec, outputs)
        question = Question(Target(spec, given_values(given, spec)), outputs, model_version, column)
        plot = choose_plot(outputs or spec.outputs, plot_path, streams=spec.decoupled)
        items = open_items(inputs, question.target)
        if spec.decoupled:
            all_answered = stream_items(client, question, items, as_json=as_json)
        else:
            all_answered = _ask(client, question, items, plot, as_json=as_json)
    sys.exit(0 if all_answered else NotHeld.exit_code)


def _ask(client: Client, question: Question, items: Sequence[Item], plot: Plot | None, *, as_json: bool) -> bool:
    """Shows the answers; whether each item has one."""
    from maas_client._cli.asking import ask_items, ask_sequences
    from maas_client._cli.showing import rows_of_answer, table, to_json

    ask = ask_sequences if question.target.spec.sequence else ask_items
    answers = list(ask(client, question, items))
    rows = [row for answered in answers for row in rows_of_answer(answered, question.model)]
    click.echo(to_json(rows, indent=2) if as_json else table(rows))
    if plot is not None:
        _draw(plot, answers)
    return not any("error" in row for row in rows)


def _draw(plot: Plot, answers: Sequence[Answered]) -> None:
    from maas_client._cli.asking import error_text
    from maas_client._plots import Panel

    panels = [
        Panel(_short(shown, answered), answered.item.source, sample, [one.number for one in answered.observations])
        for answered in answers
        for shown, sample in answered.samples()
        if not error_text(sample)
    ]
    plot.draw(panels)
    click.echo(f"drawn: {plot.path}", err=True)


def _short(shown: str, answered: Answered) -> str:
    """Of a path, its last part."""
    return Path(shown).name if isinstance(answered.item.source, Path) else shown
