from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from maas_export.weights import StoredWeights


@click.command(
    epilog="Example: maas train digits_cnn --seed 0",
    short_help="Train a network and evaluate it on held-out data.",
)
@click.argument("model")
@click.option("--data", type=click.Path(path_type=Path), help="Data of your own (default: the built-in data).")
@click.option("--seed", default=0, show_default=True, help="Same seed, same weights.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data (default: the model's recipe).")
@click.option("--again", is_flag=True, help="Train even where nothing has changed since the last time.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def train(model: str, data: Path | None, seed: int, epochs: int | None, again: bool, as_json: bool) -> None:
    """Trains MODEL, evaluates it on data that training never saw, and keeps the weights under build/weights/.

    Nothing is trained where code, data, seed and recipe are those of the newest weights.
    """
    from maas_export.train import train_model

    started = time.monotonic()
    stored, is_new = train_model(model, data=data, seed=seed, epochs=epochs, again=again)
    if as_json:
        click.echo(json.dumps(stored.record.model_dump() | {"trained": is_new}))
    else:
        _show(stored, is_new, time.monotonic() - started)


def _show(stored: StoredWeights, is_new: bool, duration_s: float) -> None:
    from rich.console import Console
    from rich.table import Table

    record = stored.record
    table = Table("class", "precision", "recall", "F1", "samples")
    for scores in record.evaluation["classes"]:
        figures = [f"{scores[figure]:.3f}" for figure in ("precision", "recall", "f1")]
        table.add_row(scores["label"], *figures, str(scores["support"]))
    Console().print(table)
    said = f"trained in {duration_s:.0f} s" if is_new else "unchanged since its last training, nothing to do"
    click.echo(f"{record.model}: held-out accuracy {record.evaluation['accuracy']:.2%} ({record.source}); {said}")
    click.echo(f"weights and confusion matrix: {stored.folder}")
