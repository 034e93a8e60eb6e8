"""The benchmark of the client in short: every pair is measured, and the verdicts follow from the ratios."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.client.timing import compare

ROOT = Path(__file__).parent.parent.parent


def test_a_ratio_is_that_of_the_medians(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0

    def taking(*each_s: float) -> Callable[[], None]:
        turns = cycle(each_s)

        def call() -> None:
            nonlocal now_s
            now_s += next(turns)

        return call

    clock = SimpleNamespace(monotonic=lambda: now_s, perf_counter=lambda: now_s)
    monkeypatch.setattr("bench.client.timing.time", clock)
    pair = compare(taking(0.004, 0.004, 0.2), taking(0.002), 2)
    assert pair.rounds >= 5
    assert (pair.ours_ms, pair.bare_ms, pair.ratio) == pytest.approx((4.0, 2.0, 2.0))
    assert pair.spread == pytest.approx((2.0, 2.0))
    # Too short a time is as long as enough rounds take.
    assert compare(taking(0.004), taking(0.002), 0).rounds == 5


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_quick_run_measures_every_pair_and_writes_its_reports() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "client", "--quick", "--name", "client-smoke"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((ROOT / "build" / "reports" / "client-smoke.json").read_text(encoding="utf-8"))
    assert set(found["pairs"]) == {
        *(f"one call, {size}, {protocol}" for size in ("1 kB", "10 MB") for protocol in ("gRPC", "HTTP")),
        "64 singles by map, gRPC",
        "64 singles by map, HTTP",
        "10 MB through shared memory, beside gRPC",
    }
    assert all(pair["ours_ms"] > 0 and pair["bare_ms"] > 0 for pair in found["pairs"].values())
    assert len(found["goals"]) == 10
    assert all(goal["value"] is not None for goal in found["goals"])
    assert "| goal" in done.stdout
