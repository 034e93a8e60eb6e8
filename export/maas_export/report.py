"""What an export has decided, and the outcome of a verification as a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maas_core.manifest import RungResult, Verification
from maas_export.bundle_model import Guess


def show_guesses(bundle: Path, is_new: bool, guesses: Sequence[Guess], as_json: bool) -> None:
    """What was decided where nobody said it: for people, or one JSON object."""
    if as_json:
        click.echo(json.dumps({"bundle": str(bundle), "new": is_new, "guesses": [asdict(guess) for guess in guesses]}))
        return
    if not is_new:
        click.echo(f"unchanged and verified, nothing to do ({bundle})")
        return
    if guesses:
        click.echo("what was not said was decided so:")
    for guess in guesses:
        click.echo(f"  {guess.subject}: {guess.value}")
        click.echo(f"      because {guess.reason}" + (f" [{guess.option}]" if guess.option else ""))


def print_verification(title: str, verification: Verification) -> None:
    """One line for each rung and output, all differences in one place."""
    table = Table(title=title, title_justify="left")
    for column in ("rung", "output", "samples", "max abs. diff.", "max rel. diff.", "same top-1", "result"):
        table.add_column(column, justify="left" if column in ("rung", "output", "result") else "right")
    for rung in verification.rungs:
        for row in _rows(rung):
            table.add_row(*row)
    Console().print(table)


def _rows(rung: RungResult) -> list[tuple[str, ...]]:
    agreement = "" if rung.agreement is None else f"{rung.agreement:.2%}"
    if not rung.outputs:
        return [(rung.rung, "", str(rung.samples), "", "", agreement, _result(rung.passed, rung.detail))]
    rows: list[tuple[str, ...]] = []
    for output in rung.outputs:
        differences = (f"{output.max_absolute:.2g}", f"{output.max_relative:.2g}")
        result = _result(output.passed, output.detail)
        rows.append((rung.rung, output.output, str(rung.samples), *differences, agreement, result))
    if rung.detail:
        rows.append((rung.rung, "", "", "", "", "", _result(rung.passed, rung.detail)))
    return rows


def _result(passed: bool, detail: str) -> str:
    if passed:
        return f"[green]passed[/] {escape(detail)}".rstrip()
    return f"[red]FAILED[/] {escape(detail)}"
