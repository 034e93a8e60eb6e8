"""wrk: HTTP load from one thread of C (from one per sequence where requests depend on each other)."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.load_programs.result import Load
from maas_core.errors import NotHeld, NotReachable

_HERE = Path(__file__).parent
_TIMEOUT_S = 120
SEQUENCE_STEPS = 50
_ANSWERS_TO_TRUST = 4


@dataclass(frozen=True)
class Post:
    """What is sent, over and over."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def find() -> str | None:
    """The program, or None where it is not installed."""
    return shutil.which("wrk")


def run(post: Post, callers: int, seconds: float, *, time_answers: bool = False) -> Load:
    """Keeps ``callers`` requests under way.

    Args:
        time_answers: notes the time of every answer, for models so slow that a run holds few of them; the rate is then
            the slope of the answers over time, which does not depend on how many were under way when the run ended.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "body").write_bytes(post.body)
        answers = folder / "answers"
        arguments = [folder / "body", *([answers] if time_answers else [])]
        load = _wrk("wrk.lua", post, 1, callers, seconds, folder / "summary.json", arguments)
        if not time_answers:
            return load
        rate = slope([float(line) for line in answers.read_text(encoding="utf-8").split()])
        if rate is None:
            raise NotHeld(
                f"fewer than {_ANSWERS_TO_TRUST} answers in {seconds:g} s tell no rate", "give --seconds more"
            )
        return Load(rate, load.p50_ms, load.p99_ms, load.errors)


def run_sequences(post: Post, input_name: str, callers: int, seconds: float) -> Load:
    """Keeps ``callers`` sequences under way, one step of each at a time; ``post.body`` is one FP32 row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "body").write_bytes(post.body)
        arguments = [folder / "body", input_name, len(post.body) // 4, SEQUENCE_STEPS]
        return _wrk("sequences.lua", post, callers, callers, seconds, folder / "summary.json", arguments)


def slope(times_s: Sequence[float]) -> float | None:
    """Answers per second by least squares, None where there are too few to tell."""
    if len(times_s) < _ANSWERS_TO_TRUST:
        return None
    return float(np.polyfit(np.sort(times_s), np.arange(len(times_s)), 1)[0])


def _wrk(
    script: str, post: Post, threads: int, callers: int, seconds: float, summary: Path, arguments: Sequence[object]
) -> Load:
    # wrk takes whole seconds only.
    command = [
        "wrk",
        "-t",
        str(threads),
        "-c",
        str(callers),
        "-d",
        f"{max(1, round(seconds))}s",
        "--timeout",
        f"{_TIMEOUT_S}s",
        "--latency",
    ]
    for name, value in post.headers.items():
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(_HERE / script), post.url, "--", str(summary), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * _TIMEOUT_S, check=False)
    if not summary.is_file():
        raise NotReachable(
            f"wrk could not load {post.url}: {(process.stderr or process.stdout).strip().splitlines()[-1:]}"
        )
    found = json.loads(summary.read_text(encoding="utf-8"))
    return Load(found["requests"] / found["elapsed_s"], found["p50_ms"], found["p99_ms"], found["errors"])
