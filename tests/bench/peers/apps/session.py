"""What the three applications share: the ONNX model that the environment names, over raw rows."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

WORKERS = int(os.environ["BENCH_WORKERS"])
BATCH_SIZE = int(os.environ["BENCH_BATCH_SIZE"])
_DTYPE = np.dtype(os.environ["BENCH_DTYPE"])
_DIMS = tuple(json.loads(os.environ["BENCH_DIMS"]))
ROW_BYTES = math.prod(_DIMS) * _DTYPE.itemsize


class Session:
    """One ONNX Runtime session."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ["BENCH_THREADS"])
        options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [self._session.get_outputs()[0].name]

    def run(self, body: bytes) -> bytes:
        """Rows in, rows out, both as the bytes of the tensors."""
        rows = np.frombuffer(body, _DTYPE).reshape(-1, *_DIMS)
        output: bytes = self._session.run(self._outputs, {self._input: rows})[0].tobytes()
        return output

    def run_batch(self, bodies: Sequence[bytes]) -> list[bytes]:
        """One row each in, one row each out."""
        output = self.run(b"".join(bodies))
        size = len(output) // len(bodies)
        return [output[start : start + size] for start in range(0, len(output), size)]
