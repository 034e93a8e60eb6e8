"""The catalogue as rows, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maas_core.spec import TensorSpec
from maas_export.catalogue import CatalogueModel, all_models
from maas_export.facts import AllFacts, load_facts

Row = dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Which models are wanted; ``None`` leaves a figure out of account.

    Attributes:
        task: a part of the task's name, e.g. ``language``.
        least_accuracy: of models whose measure is an accuracy, 0 to 1.
        latency_ms: the p50 of one call, at most.
        steps: also pre- and postprocessing, which only ensembles call.
    """

    task: str | None = None
    least_accuracy: float | None = None
    latency_ms: float | None = None
    steps: bool = False

    def takes(self, row: Row) -> bool:
        """Whether the row's model is wanted; one without the figure that is asked for is not."""
        if not self.steps and not row["card"]:
            return False
        if self.task is not None and self.task.lower() not in row["task"].lower():
            return False
        if self.least_accuracy is not None and not (
            row["measure"] == "accuracy" and row["value"] >= self.least_accuracy
        ):
            return False
        return self.latency_ms is None or (row["p50_ms"] is not None and row["p50_ms"] <= self.latency_ms)


def catalogue_rows(wanted: Filter) -> list[Row]:
    """One row for each model that is wanted; the figures are those of ``models/facts.json``."""
    facts = load_facts()
    rows = [_row(model, facts) for model in all_models().values()]
    return [row for row in rows if wanted.takes(row)]


def _row(model: CatalogueModel, all_facts: AllFacts) -> Row:
    spec, facts = model.spec, all_facts.models.get(model.name)
    row: Row = {
        "model": spec.name,
        "task": spec.task,
        "summary": spec.summary,
        "format": model.bundle_format,
        "card": f"docs/models/{spec.name}.md" if model.card else None,
        "inputs": {tensor.name: _signature(tensor) for tensor in spec.inputs},
        "outputs": {tensor.name: _signature(tensor) for tensor in spec.outputs},
        "steps": [step.model for step in spec.steps],
    }
    names = ("measure", "value", "higher_is_better", "baselines", "parameters", "size_bytes", "p50_ms", "p99_ms")
    return row | {name: getattr(facts, name, None) for name in names}


def _signature(tensor: TensorSpec) -> str:
    return f"{tensor.datatype} [{', '.join(map(str, ('batch', *tensor.dims)))}]"


def print_catalogue(rows: Sequence[Row]) -> None:
    """Prints the rows as one table."""
    table = Table("model", "task", "what it does", "held-out", "p50", "parameters", "size", show_lines=True)
    for row in rows:
        table.add_row(row["model"], row["task"], escape(row["summary"]), *_figures(row))
    Console().print(table)


def _figures(row: Row) -> tuple[str, str, str, str]:
    measured = f"{row['measure']} {row['value']:.4g}" if row["measure"] else ""
    best = max if row["higher_is_better"] else min
    if row["baselines"]:
        measured += f"\nbaseline {best(row['baselines'].values()):.4g}"
    latency = f"{row['p50_ms']:.1f} ms" if row["p50_ms"] is not None else ""
    size = f"{row['size_bytes'] / 1e6:.1f} MB" if row["size_bytes"] is not None else ""
    return measured, latency, f"{row['parameters']:,}" if row["parameters"] else "", size
