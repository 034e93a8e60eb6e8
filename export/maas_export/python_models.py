"""The sources of the Python models: which files a model is made of, and their pure parts loaded in this process.

A model's folder in ``server/python_models/`` is whole, as its version folder must be: a file that several models need
lies in ``_shared`` and is linked from each folder. A bundle holds copies.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from maas_core.errors import MaasError
from maas_core.layout import python_models_dir


def source_files(source: str) -> tuple[Path, ...]:
    """The files of a Python model, by name: its modules, and wheels that these import packages out of."""
    folder = python_models_dir() / source
    return tuple(sorted((*folder.glob("*.py"), *folder.glob("*.whl"))))


@cache
def load_module(source: str, module: str) -> ModuleType:
    """A sibling module of a model's ``model.py``, which must not need Triton.

    The model's folder becomes a package, as it is one for Triton, so that its modules may import each other.

    Raises:
        MaasError: where the file is missing.
    """
    folder = python_models_dir() / source
    if not (folder / f"{module}.py").is_file():
        raise MaasError(f"{folder / module}.py is missing", "install triton-maas again")
    package = f"maas_python_models_{source}"
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(folder)]
        sys.modules[package] = parent
    return importlib.import_module(f"{package}.{module}")
