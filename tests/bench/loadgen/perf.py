"""NVIDIA's perf_analyzer: its own rate and, from the times of every request, percentiles as far as p99.9."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy.typing as npt

from bench.load_programs.perf_analyzer import PerfAnalyzer
from bench.loadgen.figures import Found, of_latencies
from maas_core.errors import NotReachable

PERF_ANALYZER = "perf_analyzer"
_TIMEOUT_S = 120.0
_WINDOWS = 3
_WINDOW_FACTOR = 1.2
"""Its windows are so much longer than it is told."""


def run(
    program: PerfAnalyzer,
    url: str,
    model: str,
    inputs: dict[str, npt.NDArray[Any]],
    seconds: float,
    *,
    rate_per_s: float | None = None,
    callers: int = 1,
    constant: bool = False,
) -> Found:
    """Offers a rate, or keeps ``callers`` requests under way, for about ``seconds``.

    Args:
        program: the unpacked program.
        url: ``grpc://…`` or ``http://…``.
        model: its name.
        inputs: one request without its batch axis.
        seconds: three windows together.
        rate_per_s: None for a closed loop.
        callers: of a closed loop.
        constant: equal distances, else Poisson.

    Raises:
        NotReachable: it ended without a report.
    """
    protocol, _, address = url.partition("://")
    with tempfile.TemporaryDirectory() as input_folder, tempfile.TemporaryDirectory() as output_folder:
        for name, value in inputs.items():
            (Path(input_folder) / name).write_bytes(value.tobytes())
        report, export = Path(output_folder) / "report.csv", Path(output_folder) / "requests.json"
        command = [str(program.path), "-m", model, "-i", protocol, "-u", address, "--input-data", input_folder]
        command += ["-f", str(report), "--profile-export-file", str(export), "--percentile", "99"]
        window_ms = round(seconds / _WINDOWS / _WINDOW_FACTOR * 1e3)
        command += ["--measurement-interval", str(window_ms), "--max-trials", str(_WINDOWS)]
        command += ["--stability-percentage", "999"]
        # It takes --async with a rate over gRPC only.
        command += ["--async"] if protocol == "grpc" else []
        if rate_per_s is None:
            command += ["--concurrency-range", str(callers)]
        else:
            distribution = "constant" if constant else "poisson"
            command += ["--request-rate-range", f"{rate_per_s:g}", "--request-distribution", distribution]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(program.libraries)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=4 * seconds + _TIMEOUT_S, check=False, env=environment
        )
        if not report.is_file() or not export.is_file():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise NotReachable(f"perf_analyzer could not load {url}: {said[:1]}")
        return _found(export, report)


def _found(export: Path, report: Path) -> Found:
    experiment = json.loads(export.read_text(encoding="utf-8"))["experiments"][0]
    boundaries = experiment["window_boundaries"]
    latencies_ms = [
        (request["response_timestamps"][-1] - request["timestamp"]) / 1e6 for request in experiment["requests"]
    ]
    exact = of_latencies(PERF_ANALYZER, latencies_ms, (boundaries[-1] - boundaries[0]) / 1e9)
    with report.open(newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    parts = ("Server Queue", "Server Compute Input", "Server Compute Infer", "Server Compute Output")
    server_ms = sum(float(row[part]) for part in parts) / 1e3
    return Found(**{**exact.__dict__, "rate_per_s": float(row["Inferences/Second"]), "server_ms": server_ms})
