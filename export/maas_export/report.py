"""The outcome of a verification as a table."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maas_core.manifest import RungResult, Verification


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
