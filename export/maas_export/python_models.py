"""The sources of the Python models: which files a model is made of, and their pure parts loaded in this process.

A model's folder in ``server/python_models/`` holds what is its own; what several need lies in ``_shared`` beside them.
A bundle holds both in one folder, so ``from .decoding import …`` reads the same in either place.
"""

from __future__ import annotations

import ast
import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from maas_core.errors import MaasError
from maas_core.layout import python_models_dir

_SHARED = "_shared"


def source_dir(source: str) -> Path:
    """The folder with a Python model's own sources."""
    return python_models_dir() / source


def source_files(source: str) -> tuple[Path, ...]:
    """All files of a Python model, by name: its own, and the shared ones that it imports.

    Raises:
        MaasError: where an own and a shared file have the same name: a bundle has room for one.
    """
    own = {path.stem: path for path in source_dir(source).glob("*.py")}
    shared = {path.stem: path for path in source_dir(_SHARED).glob("*.py")}
    found = dict(own)
    waiting = list(own.values())
    while waiting:
        for name in _siblings_of(waiting.pop()) & shared.keys():
            if name in own:
                raise MaasError(f"{own[name]} and {shared[name]} have the same name", "rename one of them")
            if name not in found:
                found[name] = shared[name]
                waiting.append(shared[name])
    return tuple(sorted(found.values(), key=lambda path: path.name))


def _siblings_of(path: Path) -> set[str]:
    """The modules beside it that a file imports, as in ``from .decoding import read_picture``."""
    imports = (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.ImportFrom))
    return {node.module for node in imports if node.level == 1 and node.module}


@cache
def load_module(source: str, module: str) -> ModuleType:
    """A module beside a Python model's ``model.py``, its own or a shared one, which must not need Triton.

    The files of the model become a package, as they are one for Triton, so that they may import each other.

    Raises:
        MaasError: where the file is missing.
    """
    files = {path.stem: path for path in source_files(source)}
    if module not in files:
        raise MaasError(f"{source_dir(source) / module}.py is missing", "install triton-maas again")
    package = f"maas_python_models_{source}"
    if package not in sys.modules:
        parent = ModuleType(package)
        parent.__path__ = [str(source_dir(source)), str(source_dir(_SHARED))]
        sys.modules[package] = parent
    return importlib.import_module(f"{package}.{module}")
