"""What the benchmark needs besides the project's own environment; everything goes to ``build/bench/``."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import click

from bench.load_programs import perf_analyzer, wrk
from bench.models import bench_dir
from maas_core.errors import NotHeld

_LOCK = Path(__file__).parent / "requirements.lock"
_PIP = ("-m", "pip", "--disable-pip-version-check", "-qq")


def require_programs() -> None:
    """Checks for what pip cannot bring.

    Raises:
        NotHeld: wrk or a C compiler is missing.
    """
    if wrk.find() is None:
        raise NotHeld("the load generator wrk is missing", "install it: apt-get install wrk")
    if shutil.which("gcc") is None:
        raise NotHeld(
            "gcc is missing; the backend that computes nothing is compiled with it", "install it: apt-get install gcc"
        )


def install_perf_analyzer() -> perf_analyzer.PerfAnalyzer | None:
    """NVIDIA's perf_analyzer; None, and why, where it cannot be had."""
    click.echo(
        f"bench: perf_analyzer out of the wheel {perf_analyzer.WHEEL} (14 MB), unpacked in {bench_dir()}/perf_analyzer"
    )
    try:
        return perf_analyzer.install()
    except (subprocess.CalledProcessError, OSError, StopIteration) as error:
        click.echo(f"bench: perf_analyzer cannot be had ({error}); gRPC and shared memory are left out of the table")
        return None


def install_peers() -> None:
    """FastAPI, LitServe and BentoML at the locked versions, in an environment of their own."""
    venv = bench_dir() / "venv"
    stamp = venv / ".lock-digest"
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    click.echo(f"bench: FastAPI, LitServe, BentoML and what they need ({_LOCK.name}, about 300 MB) into {venv}")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
    install = ["install", "--no-deps", "--requirement", str(_LOCK)]
    try:
        subprocess.run([str(venv / "bin" / "python"), *_PIP, *install], check=True)
    except subprocess.CalledProcessError:
        raise NotHeld(
            f"the peers' packages could not be installed into {venv}", "pip's own words stand above"
        ) from None
    stamp.write_text(digest, encoding="utf-8")


def versions() -> dict[str, str]:
    """The peers' versions, by name."""
    wanted = ("fastapi", "uvicorn", "litserve", "bentoml", "onnxruntime")
    lines = (line.partition("==") for line in _LOCK.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {name: version for name, _, version in lines if name in wanted}
