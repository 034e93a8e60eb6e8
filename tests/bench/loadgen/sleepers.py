"""Models that take a known time and no processor: on a real Triton, several requests at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from bench.models import bench_dir
from maas_core.errors import NotHeld
from maas_server.embedded import EmbeddedTriton, embedded_triton

INSTANCES = 4
SLEEP_MS = 12.0
SLOW, TINY = "sleeper", "instant"
INPUT, WIDTH = "x", 4

_CONFIG = f"""
backend: "python"
max_batch_size: 0
input [{{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [ {WIDTH} ] }}]
instance_group [{{ count: {INSTANCES} }}]
"""
_MODEL = """
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            time.sleep(SLEEP_S)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x)]))
        return responses
"""


@contextmanager
def serve_sleepers() -> Iterator[EmbeddedTriton]:
    """Serves both.

    Raises:
        NotHeld: Triton does not load them.
    """
    root = bench_dir() / "repositories" / "sleepers"
    shutil.rmtree(root, ignore_errors=True)
    for name, sleep_ms in ((SLOW, SLEEP_MS), (TINY, 0.0)):
        folder = root / name / "1"
        folder.mkdir(parents=True)
        (folder.parent / "config.pbtxt").write_text(_CONFIG, encoding="utf-8")
        (folder / "model.py").write_text(f"SLEEP_S = {sleep_ms / 1e3}\n{_MODEL}", encoding="utf-8")
    with embedded_triton(root) as triton:
        if triton.failed:
            raise NotHeld(f"embedded Triton does not load {triton.failed}")
        yield triton
