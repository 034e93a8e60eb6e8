"""Model repositories for embedded Triton: a model as it is, and the same model with a backend that computes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.models import Model, bench_dir
from maas_core.config import parse_config

NOOP = "noop"
"""The backend in C."""
NOOP_PYTHON = "noop_python"
"""The model in Python."""
_HERE = Path(__file__).parent


def write_repository(models: Sequence[Model], name: str) -> Path:
    """A fresh repository that serves ``models``, ONNX files linked."""
    root = bench_dir() / "repositories" / name
    shutil.rmtree(root, ignore_errors=True)
    for model in models:
        folder = _model_folder(root, model.name, model.config)
        os.link(model.path, folder / "model.onnx")
    return root


def write_copies(model: Model, count: int, name: str) -> Path:
    """A repository with ``count`` models that are each a copy of ``model``."""
    root = bench_dir() / "repositories" / name
    shutil.rmtree(root, ignore_errors=True)
    for number in range(1, count + 1):
        folder = _model_folder(root, f"{model.name}_{number}", _unnamed(model.config))
        os.link(model.path, folder / "model.onnx")
    return root


def write_noop(model: Model, kind: str) -> Path:
    """A repository with a stand-in for ``model``: same inputs, outputs, batching and instances, no computation."""
    root = bench_dir() / "repositories" / kind
    shutil.rmtree(root, ignore_errors=True)
    backend = "python" if kind == NOOP_PYTHON else NOOP
    text = _unnamed(model.config).replace('backend: "onnxruntime"', f'backend: "{backend}"')
    folder = _model_folder(root, kind, text)
    if kind == NOOP_PYTHON:
        shutil.copyfile(_HERE / "noop" / "model.py", folder / "model.py")
    return root


def build_noop_backend(model: Model) -> Path:
    """Compiles the backend in C for ``model``'s output; the folder that holds it, as Triton wants it."""
    output = parse_config(model.config, model.name).output[0]
    folder = bench_dir() / "backends"
    library = folder / NOOP / f"libtriton_{NOOP}.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    size = 1
    for dim in output.dims:
        size *= dim
    defines = [f'-DOUTPUT_NAME="{output.name}"', f"-DOUTPUT_SIZE={size}"]
    source = _HERE / "noop" / "noop.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", *defines, str(source), "-o", str(library)], check=True)
    return folder


def _unnamed(config: str) -> str:
    """Without its name, which Triton then takes from the folder."""
    return re.sub(r'(?m)^name: ".*"\n', "", config)


def _model_folder(root: Path, name: str, config: str) -> Path:
    folder = root / name / "1"
    folder.mkdir(parents=True)
    (root / name / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder
