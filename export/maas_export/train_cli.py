from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maas_core.errors import WrongUse
from maas_core.layout import DEFAULT_REPOSITORY
from maas_core.names import check_model_name

if TYPE_CHECKING:
    from maas_export.weights import StoredWeights, TrainingRecord


@click.command(
    epilog="""Examples:

    maas train digits_cnn --seed 0

    maas train digits_cnn --data my-digits.npz --from-version 1""",
    short_help="Train a network and evaluate it on held-out data.",
)
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--all", "every", is_flag=True, help="Every network of the catalogue.")
@click.option("--data", type=click.Path(path_type=Path), help="Data of your own (default: the built-in data).")
@click.option("--seed", default=0, show_default=True, help="Same seed, same weights.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Train this many, tell the mean.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the data (default: the model's recipe).")
@click.option(
    "--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Use this share of the training data."
)
@click.option("--from-version", type=click.IntRange(1), metavar="N", help="Fine-tune the published version N.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path),
    default=DEFAULT_REPOSITORY,
    show_default=True,
    help="Where version N is.",
)
@click.option("--jobs", type=click.IntRange(1), help="How many models at a time (default: one for each core).")
@click.option("--again", is_flag=True, help="Train even where nothing has changed since the last time.")
@click.option("--json", "as_json", is_flag=True, help="Print the record as JSON.")
def train(
    *,
    models: tuple[str, ...],
    every: bool,
    data: Path | None,
    seed: int,
    seeds: int,
    epochs: int | None,
    share: float,
    from_version: int | None,
    repository: Path,
    jobs: int | None,
    again: bool,
    as_json: bool,
) -> None:
    """Trains each MODEL, evaluates it on data that training never saw, and keeps the weights under build/weights/.

    Nothing is trained where code, data, seed and recipe are those of weights that are kept. A training that was killed
    goes on from its last finished epoch.
    """
    # Threads that wait by spinning take the cores from each other where something else runs; torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    names = _named(models, every, data is not None or from_version is not None)
    start = _version_folder(repository, names[0], from_version) if from_version is not None else None
    # Torch comes with these, and who mistyped a name need not wait for it.
    from maas_export.train import TrainingRequest
    from maas_export.train_jobs import train_models

    request = TrainingRequest(data, seed, seeds, epochs, share, start, again)
    for trained in train_models(names, request, jobs or os.cpu_count() or 1):
        if as_json:
            click.echo(json.dumps(trained.stored.record.model_dump(mode="json") | {"trained": trained.is_new}))
        else:
            _show(trained.stored, trained.is_new, trained.duration_s)


def _named(models: tuple[str, ...], every: bool, is_for_one: bool) -> tuple[str, ...]:
    from maas_export.catalogue import TorchModel, all_models, torch_model_named

    if every == bool(models):
        raise WrongUse("which model?", "give the names of some, or --all")
    if is_for_one and len(models) != 1:
        raise WrongUse("--data and --from-version are for one model", "name that one")
    for model in models:
        torch_model_named(model)
    return models or tuple(name for name, model in all_models().items() if isinstance(model, TorchModel))


def _version_folder(repository: Path, model: str, version: int) -> Path:
    folder = repository / check_model_name(model) / str(version)
    if not folder.is_dir():
        raise WrongUse(f"{model} has no version {version} in {repository}", "see `maas status` or --repository")
    return folder


def _show(stored: StoredWeights, is_new: bool, duration_s: float) -> None:
    from rich.console import Console

    record = stored.record
    evaluation = record.evaluation
    Console().print(_class_table(evaluation) if "classes" in evaluation["details"] else _figure_table(record))
    said = f"trained in {duration_s:.0f} s" if is_new else "unchanged since it was trained, nothing to do"
    click.echo(f"{record.model}: held-out {_headline(evaluation)} ({record.source}); {said}")
    if record.evaluation_before is not None:
        click.echo(f"before, on the same held-out data: {_headline(record.evaluation_before)}")
    for name, value in evaluation["baselines"].items():
        click.echo(f"baseline, {name}: {_shown(value, evaluation['measure'])}")
    if record.over_seeds:
        _show_seeds(record)
    click.echo(f"weights and evaluation: {stored.folder}")


def _show_seeds(record: TrainingRecord) -> None:
    from maas_export.train import seed_mean

    measure = record.evaluation["measure"]
    values = ", ".join(f"{seed}: {_shown(value, measure)}" for seed, value in record.over_seeds.items())
    click.echo(f"mean of {len(record.over_seeds)} seeds: {_shown(seed_mean(record) or 0.0, measure)} ({values})")


def _headline(evaluation: dict[str, Any]) -> str:
    return f"{evaluation['measure']} {_shown(evaluation['value'], evaluation['measure'])}"


def _shown(value: float, measure: str) -> str:
    return f"{value:.2%}" if measure == "accuracy" else f"{value:.4g}"


def _class_table(evaluation: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("class", "precision", "recall", "F1", "samples")
    for scores in evaluation["details"]["classes"]:
        figures = [f"{scores[figure]:.3f}" for figure in ("precision", "recall", "f1")]
        table.add_row(scores["label"], *figures, str(scores["support"]))
    return table


def _figure_table(record: TrainingRecord) -> Any:
    from rich.table import Table

    table = Table("figure", "value", *(["before"] if record.evaluation_before else []))
    for name, value in record.evaluation["figures"].items():
        before = record.evaluation_before["figures"].get(name) if record.evaluation_before else None
        table.add_row(name, f"{value:.4g}", *([f"{before:.4g}"] if before is not None else []))
    return table
