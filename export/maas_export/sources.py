"""Which source files decide what a training gives: found by following the imports of the model's own file."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from pathlib import Path

from maas_core.files import sha256_of
from maas_export.catalogue import TorchModel
from maas_export.python_models import source_files

_PACKAGE = "maas_export"
_PARTS = (
    *("data", "networks", "models", "classifier", "training", "recipe", "evaluation", "forecasting"),
    *("average_precision", "paraphrases", "original_minilm"),
)
_FOLLOWED = tuple(f"{_PACKAGE}.{part}" for part in _PARTS)
"""The others (the registry, bundles, commands) change neither a weight nor a figure."""


def training_sources(model: TorchModel) -> dict[str, str]:
    """SHA-256 of each file that decides what training ``model`` gives, by its name."""
    paths = {path for step in model.borrows for path in source_files(step)}
    waiting = [Path(inspect.getfile(type(model))), _path_of(f"{_PACKAGE}.training")]
    while waiting:
        path = waiting.pop()
        if path in paths:
            continue
        paths.add(path)
        waiting += [_path_of(name) for name in _imports_of(path) if name.startswith(_FOLLOWED)]
    return {f"{path.parent.name}/{path.name}": sha256_of(path) for path in sorted(paths)}


def _imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if _is_module(name) else node.module


def _is_module(name: str) -> bool:
    try:
        return name.startswith(_PACKAGE) and importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _path_of(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin)
