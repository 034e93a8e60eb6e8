"""NVIDIA's perf_analyzer, out of the wheel of its own time: over gRPC, HTTP and through system shared memory."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bench.load_programs.result import Load
from bench.models import Model, bench_dir
from maas_core.errors import NotReachable

WHEEL = "tritonclient==2.51.0"
_LIBRARIES = {"libb64.so.0d": "libb64-*.so.0d", "libcudart.so.12": "libcudart-*.so.12*"}
"""What it links, and the names under which the wheel of the server holds the same libraries."""
_TIMEOUT_S = 120
_SEQUENCE_STEPS = 50
_WINDOWS = 3


@dataclass(frozen=True)
class PerfAnalyzer:
    """The unpacked program."""

    path: Path
    libraries: Path

    def run(
        self,
        url: str,
        model: Model,
        served_as: str,
        callers: int,
        seconds: float,
        *,
        protocol: Literal["grpc", "http"] = "grpc",
        shared_memory: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Load:
        """Keeps ``callers`` requests (or sequences) under way for ``seconds``, after a warm-up of its own.

        Args:
            url: ``HOST:PORT`` of ``protocol``.
        """
        with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as report_folder:
            report = Path(report_folder) / "report.csv"
            command = [str(self.path), "-m", served_as, "-i", protocol, "-u", url, "--async", "-f", str(report)]
            command += ["--concurrency-range", str(callers), "--max-threads", "2", "--percentile", "99"]
            # Three windows are the fewest it takes, and any spread is stable: rounds and medians are the caller's.
            window_s = seconds if model.slow else seconds / _WINDOWS
            command += ["--measurement-interval", str(int(window_s * 1000)), "--max-trials", str(_WINDOWS)]
            command += ["--stability-percentage", "999"]
            if model.stateful:
                command += ["--sequence-length", str(_SEQUENCE_STEPS), "--sequence-length-variation", "0"]
            else:
                # A folder with one file for each input; of itself it would send random bits, which are no token ids.
                (Path(name) / model.input_name).write_bytes(model.draw(np.random.default_rng(7)).tobytes())
                command += ["--input-data", name]
            for header, value in (headers or {}).items():
                command += ["-H", f"{header}:{value}"]
            if shared_memory:
                command += ["--shared-memory", "system", "--output-shared-memory-size", "65536"]
            environment = {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}
            process = subprocess.run(
                command, capture_output=True, text=True, timeout=20 * seconds + _TIMEOUT_S, check=False, env=environment
            )
            if not report.is_file():
                raise NotReachable(
                    f"perf_analyzer could not load {url}: {(process.stderr or process.stdout).strip()[-400:]}"
                )
            with report.open(newline="", encoding="utf-8") as file:
                row = next(csv.DictReader(file))
        # It ends without a report at the first request that fails.
        return Load(
            float(row["Inferences/Second"]), float(row["p50 latency"]) / 1e3, float(row["p99 latency"]) / 1e3, 0
        )


def install() -> PerfAnalyzer:
    """Fetches the wheel with pip into the benchmark's own folder, once, and unpacks the program."""
    folder = bench_dir() / "perf_analyzer"
    found = PerfAnalyzer(folder / "perf_analyzer", folder / "lib")
    if not found.path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq"]
        subprocess.run([*pip, "download", "--no-deps", "--dest", str(folder), WHEEL], check=True)
        _link_libraries(found.libraries)
        _unpack(next(folder.glob("*.whl")), found.path)
    return found


def _unpack(wheel: Path, program: Path) -> None:
    partial = program.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive:
        member = next(name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
        with archive.open(member) as source, partial.open("wb") as target:
            shutil.copyfileobj(source, target)
    partial.chmod(0o755)
    partial.replace(program)
    wheel.unlink()


def _link_libraries(folder: Path) -> None:
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise NotReachable(
            "perf_analyzer needs libb64 and libcudart, which the wheel nvidia-pytriton brings; it is not installed"
        )
    source = Path(next(iter(spec.submodule_search_locations))).parent / "nvidia_pytriton.libs"
    folder.mkdir(exist_ok=True)
    for name, pattern in _LIBRARIES.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(next(source.glob(pattern)))
