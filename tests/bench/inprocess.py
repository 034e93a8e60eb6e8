"""The limit: ONNX Runtime alone, no server, no wire; one process per core or one with all threads.

Run as a module it is one of these processes: it opens the model, says ``ready``, waits for a line on stdin, runs, and
prints what it did.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.models import CORES, Model

_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


@dataclass(frozen=True)
class Layout:
    """How many processes, with how many threads each, run which batch size."""

    processes: int
    threads: int
    batch_size: int


@dataclass(frozen=True)
class Throughput:
    """Rows per second, and the processor time of one row in microseconds."""

    rate: float
    cpu_us: float


def layouts(model: Model) -> list[Layout]:
    """All that are tried; on one core both kinds are the same."""
    splits = dict.fromkeys([(CORES, 1), (1, CORES)])
    return [Layout(processes, threads, size) for processes, threads in splits for size in model.batch_sizes]


def measure(model: Model, layout: Layout, seconds: float) -> Throughput:
    """What all processes did together."""
    command = [
        sys.executable,
        "-m",
        "bench.inprocess",
        str(model.path),
        str(layout.threads),
        str(layout.batch_size),
        str(seconds),
    ]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(layout.processes)
    ]
    try:
        return _run_all(workers)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _run_all(workers: Sequence[subprocess.Popen[str]]) -> Throughput:
    for worker in workers:
        assert worker.stdout is not None
        if worker.stdout.readline().strip() != "ready":
            raise RuntimeError("a process that was to run ONNX Runtime ended; its own words stand above")
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    answers = [json.loads(worker.communicate()[0]) for worker in workers]
    rate = sum(answer["rows"] / answer["elapsed_s"] for answer in answers)
    cpu_s = sum(answer["cpu_s"] for answer in answers)
    return Throughput(rate, cpu_s / sum(answer["rows"] for answer in answers) * 1e6)


def _work(path: Path, threads: int, batch_size: int, seconds: float) -> dict[str, float]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(7)
    feeds = {
        entry.name: random.random([batch_size, *entry.shape[1:]]).astype(_DTYPES[entry.type])
        for entry in session.get_inputs()
    }
    session.run(None, feeds)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    rows, start, start_cpu = 0, time.perf_counter(), time.process_time()
    while (elapsed_s := time.perf_counter() - start) < seconds:
        session.run(None, feeds)
        rows += batch_size
    return {"rows": rows, "elapsed_s": elapsed_s, "cpu_s": time.process_time() - start_cpu}


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(_work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))) + "\n"
    )
