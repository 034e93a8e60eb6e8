"""Inputs of a model from files: pictures and other bytes, text, .npz, .json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from maas_client._spec import ModelSpec
from maas_client.errors import RefusedValueError, ShapeMismatchError

ARRAY_SUFFIXES = (".npz", ".json")


def read_inputs(path: Path, spec: ModelSpec) -> dict[str, Any]:
    """The inputs that a file holds for a model.

    An ``.npz`` file holds an array per input; a ``.json`` file an object of values per input, or the value of the only
    one; any other file is the one BYTES value of a model whose only required input takes bytes (a picture, a text).

    Raises:
        RefusedValueError: the file cannot be read, or is not what its suffix says.
        ShapeMismatchError: the model takes more than one file can give.
    """
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        if path.suffix == ".json":
            value = json.loads(path.read_text(encoding="utf-8"))
            return value if isinstance(value, dict) else {_only_input(spec, path): value}
        name = _only_input(spec, path)
        if spec.inputs[name].datatype != "BYTES":
            raise ShapeMismatchError(
                f"{path}: {spec.name} takes {spec.inputs[name].datatype} numbers; pass them as .npz or .json",
                model=spec.name,
            )
        return {name: path.read_bytes()}
    except OSError as error:
        raise RefusedValueError(f"{path} cannot be read: {error.strerror or error}", model=spec.name) from error
    except ValueError as error:
        if isinstance(error, ShapeMismatchError):
            raise
        raise RefusedValueError(f"{path} is no readable {path.suffix} file: {error}", model=spec.name) from error


def _only_input(spec: ModelSpec, path: Path) -> str:
    required = [name for name, tensor in spec.inputs.items() if not tensor.optional]
    if len(required) != 1:
        names = ", ".join(repr(name) for name in spec.inputs)
        raise ShapeMismatchError(
            f"{path}: {spec.name} takes {names}; pass an .npz or .json file that names each of them", model=spec.name
        )
    return required[0]
