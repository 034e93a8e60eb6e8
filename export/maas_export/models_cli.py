from __future__ import annotations

import json

import click

from maas_core.layout import bundle_dir


@click.command(
    epilog="""Examples:

    maas models --task language --max-latency 5

    maas models --all --json""",
    short_help="The catalogue: which model should I choose?",
)
@click.option("--task", metavar="WORD", help="Only models whose task has this word.")
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Only models of at least this held-out accuracy.")
@click.option(
    "--max-latency", type=click.FloatRange(0), metavar="MS", help="Only models that answer this quickly (p50)."
)
@click.option("--all", "steps", is_flag=True, help="Also pre- and postprocessing.")
@click.option("--bundles", is_flag=True, help="Print where `maas export` puts them, a path each, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, with inputs and outputs.")
def models(
    task: str | None, min_accuracy: float | None, max_latency: float | None, steps: bool, bundles: bool, as_json: bool
) -> None:
    """Lists the models: what each does, what it is worth beside its baseline, how quick and how large it is.

    The figures were measured where the catalogue is developed; each model's page under docs/models/ says more.
    """
    from maas_export.catalogue_table import Filter, catalogue_rows, print_catalogue

    rows = catalogue_rows(Filter(task, min_accuracy, max_latency, steps))
    if bundles:
        for row in rows:
            click.echo(bundle_dir(row["model"], row["format"]))
    elif as_json:
        click.echo(json.dumps(rows, indent=1))
    elif rows:
        print_catalogue(rows)
    else:
        click.echo("no model of the catalogue is like that")
