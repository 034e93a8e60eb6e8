"""One training from data to stored weights."""

from __future__ import annotations

import inspect
import time
from dataclasses import asdict, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from maas_core.files import sha256_of
from maas_export import weights
from maas_export.catalogue import TorchModel, torch_model_named
from maas_export.evaluation import confusion_picture, evaluate
from maas_export.python_models import source_dir
from maas_export.training import predict_classes
from maas_export.training import train as fit


def train_model(
    name: str, *, data: Path | None, seed: int, epochs: int | None, again: bool
) -> tuple[weights.StoredWeights, bool]:
    """Trains and evaluates; returns the stored weights and whether they are new."""
    model = torch_model_named(name)
    split = model.load_data(data, seed)
    recipe = replace(model.recipe, epochs=epochs or model.recipe.epochs)
    key = weights.training_key(
        {
            "data": split.digest,
            "seed": seed,
            "recipe": asdict(recipe),
            "torch": torch.__version__,
            "code": _code_digests(model),
        }
    )
    kept = weights.latest(name)
    if kept is not None and kept.record.key == key and not again:
        return kept, False
    started = time.monotonic()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(f"{name}: loss -", total=recipe.epochs)
        module = fit(
            model,
            split,
            recipe,
            seed,
            lambda epoch, _, loss: bar.update(task, completed=epoch, description=f"{name}: loss {loss:.4f}"),
        )
    predicted = predict_classes(module, model.prepare(split.test_inputs))
    evaluation = evaluate(split.test_labels, predicted, model.spec.labels)
    stored = weights.store(
        module,
        confusion_picture(evaluation, name),
        model=name,
        key=key,
        source=split.source,
        seed=seed,
        epochs=recipe.epochs,
        duration_s=round(time.monotonic() - started, 1),
        evaluation=evaluation.as_dict(),
    )
    return stored, True


def _code_digests(model: TorchModel) -> dict[str, str]:
    """The sources that decide what training gives: the loop, the data, the model's own, and what it borrows."""
    package = Path(__file__).parent
    sources = [package / "training.py", *package.glob("data/*.py"), Path(inspect.getfile(type(model)))]
    sources += [path for step in model.borrows for path in source_dir(step).glob("*.py")]
    return {f"{path.parent.name}/{path.name}": sha256_of(path) for path in sorted(sources)}
