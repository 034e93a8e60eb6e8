"""The catalogue as rows, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from maas_core.spec import TensorSpec
from maas_export import weights
from maas_export.catalogue import CatalogueModel, TorchModel, all_models


def catalogue_rows() -> list[dict[str, Any]]:
    """One dictionary for each model; ``parameters`` and ``accuracy`` only where it has weights of its own."""
    return [_row(model) for model in all_models().values()]


def _row(model: CatalogueModel) -> dict[str, Any]:
    spec = model.spec
    row: dict[str, Any] = {
        "model": spec.name,
        "task": spec.task,
        "summary": spec.summary,
        "format": model.bundle_format,
        "inputs": {tensor.name: _signature(tensor) for tensor in spec.inputs},
        "outputs": {tensor.name: _signature(tensor) for tensor in spec.outputs},
        "steps": [step.model for step in spec.steps],
    }
    if isinstance(model, TorchModel):
        stored = weights.latest(spec.name)
        row["parameters"] = sum(parameter.numel() for parameter in model.build().parameters())
        row["accuracy"] = stored.record.evaluation["value"] if stored else None
    return row


def _signature(tensor: TensorSpec) -> str:
    return f"{tensor.datatype} [{', '.join(map(str, ('batch', *tensor.dims)))}]"


def print_catalogue(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows as one table."""
    table = Table("model", "task", "inputs", "outputs", "parameters", "accuracy", show_lines=True)
    for row in rows:
        accuracy = row.get("accuracy")
        table.add_row(
            row["model"],
            row["task"],
            escape("\n".join(f"{name} {signature}" for name, signature in row["inputs"].items())),
            escape("\n".join(f"{name} {signature}" for name, signature in row["outputs"].items())),
            f"{row['parameters']:,}" if "parameters" in row else "",
            f"{accuracy:.2%}" if accuracy is not None else "not trained" if "parameters" in row else "",
        )
    Console().print(table)
