"""Locust without anything of ours: a file as its documentation has it, and the percentiles that it reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.loadgen.figures import Found
from maas_core.errors import NotHeld

PLAIN_LOCUST = "plain Locust"
_LOCUSTFILE = Path(__file__).parent / "plain_locustfile.py"
_TIMEOUT_S = 60.0
USERS = 10


def run(http_url: str, rate_per_s: float, seconds: float) -> Found:
    """Ten users with Locust's own ``constant_throughput``; ``rate_per_s`` is a multiple of ten."""
    command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--host", http_url]
    command += ["--users", str(USERS), "--spawn-rate", str(USERS), "--run-time", f"{seconds:g}s", "--json"]
    environment = {**os.environ, "THROUGHPUT": str(rate_per_s / USERS)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + _TIMEOUT_S, check=True, env=environment
    )
    entries = json.loads(done.stdout)
    if not entries:
        raise NotHeld(f"plain Locust got no answer in {seconds:g} s: {done.stderr.strip().splitlines()[-1:]}")
    stats = entries[0]
    times_ms = np.array([float(value) for value in stats["response_times"]])
    counts = np.array(list(stats["response_times"].values()))
    order = np.argsort(times_ms)
    latencies_ms = np.repeat(times_ms[order], counts[order])
    p50, p99, p999 = np.percentile(latencies_ms, [50, 99, 99.9], method="inverted_cdf")
    answers = int(counts.sum())
    return Found(PLAIN_LOCUST, answers / seconds, seconds, answers, float(p50), float(p99), float(p999))
