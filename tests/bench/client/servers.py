"""A real Triton whose models compute nothing, so that what is measured is the calling."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.models import bench_dir
from maas_core.errors import NotHeld, WrongUse
from maas_server.embedded import EmbeddedTriton, embedded_triton

_SOURCE = Path(__file__).parent.parent / "noop" / "noop.c"
OUTPUT = "y"
INPUT = "x"


@dataclass(frozen=True)
class NoopModel:
    """A model that answers with zeros, as C code.

    Attributes:
        name: in Triton.
        values: FP32 values of one row of its input.
        answers: FP32 values of one row of its output.
        max_batch_size: rows.
    """

    name: str
    values: int
    answers: int
    max_batch_size: int = 1

    @property
    def config(self) -> str:
        """Its ``config.pbtxt``."""
        return (
            f'backend: "{self.name}"\nmax_batch_size: {self.max_batch_size}\n'
            f'input {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [{self.values}] }}\n'
            f'output {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [{self.answers}] }}\n'
            "instance_group { count: 2 kind: KIND_CPU }\n"
        )


SMALL = NoopModel("noop_1kb", 256, 256)
LARGE = NoopModel("noop_10mb", 2_500_000, 2_500_000)
ROWS = NoopModel("noop_rows", 784, 10, max_batch_size=64)
SIZES = {"1 kB": SMALL, "10 MB": LARGE}


@contextmanager
def serve_noop() -> Iterator[EmbeddedTriton]:
    """Serves all of them; shared memory is allowed.

    Raises:
        WrongUse: there is no C compiler.
    """
    if shutil.which("gcc") is None:
        raise WrongUse("gcc is missing", "install a C compiler: the models that compute nothing are C code")
    root = bench_dir() / "client"
    shutil.rmtree(root, ignore_errors=True)
    for model in (SMALL, LARGE, ROWS):
        _build(root, model)
    with embedded_triton(root / "repository", backends=[root / "backends"], allow_shared_memory=True) as triton:
        if triton.failed:
            raise NotHeld(f"embedded Triton does not load {triton.failed}")
        yield triton


def _build(root: Path, model: NoopModel) -> None:
    folder = root / "repository" / model.name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(model.config, encoding="utf-8")
    library = root / "backends" / model.name / f"libtriton_{model.name}.so"
    library.parent.mkdir(parents=True)
    defines = [f'-DOUTPUT_NAME="{OUTPUT}"', f"-DOUTPUT_SIZE={model.answers}"]
    subprocess.run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", *defines, str(_SOURCE), "-o", str(library)], check=True)
