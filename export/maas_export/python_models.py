"""Loading the pure parts of ``server/python_models/`` in this process: what they compute there, they compute here."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from maas_core.errors import MaasError
from maas_core.layout import python_models_dir


def source_dir(model: str) -> Path:
    """The folder with the sources of a Python model."""
    return python_models_dir() / model


@cache
def load_module(model: str, module: str) -> ModuleType:
    """A sibling module of a model's ``model.py``, which must not need Triton.

    The model's folder becomes a package, as it is one for Triton, so that its modules may import each other.

    Raises:
        MaasError: where the file is missing.
    """
    folder = source_dir(model)
    if not (folder / f"{module}.py").is_file():
        raise MaasError(f"{folder / module}.py is missing", "install triton-maas again")
    package = f"maas_python_models_{model}"
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
    return importlib.import_module(f"{package}.{module}")
