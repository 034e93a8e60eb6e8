from __future__ import annotations

import json

import click


@click.command(epilog="Example: maas models --json", short_help="The catalogue of models.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def models(as_json: bool) -> None:
    """Lists every model: its task, what goes in and what comes out, and its accuracy where it is trained."""
    from maas_export.catalogue_table import catalogue_rows, print_catalogue

    rows = catalogue_rows()
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        print_catalogue(rows)
