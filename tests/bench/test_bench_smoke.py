"""``make bench`` in short: everybody starts, answers rightly, is loaded, and ends up in the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("wrk") is None, reason="the load generator wrk is not installed (apt-get install wrk)")
def test_a_quick_run_measures_everybody_and_writes_its_reports() -> None:
    reports = ROOT / "build" / "reports"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--callers", "1,16", "--name", "bench-smoke"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((reports / "bench-smoke.json").read_text(encoding="utf-8"))
    assert found["missing"] == []
    measured = {(cell["model"], cell["peer"], cell["wire"]) for cell in found["cells"]}
    ours = {
        (model, "embedded Triton", wire) for model in ("digits_cnn", "encoder", "lstm") for wire in ("HTTP", "gRPC")
    }
    theirs = {
        (model, peer, "HTTP") for model in ("digits_cnn", "encoder") for peer in ("FastAPI", "LitServe", "BentoML")
    }
    assert (
        ours | theirs | {("digits_cnn", "embedded Triton", "shared memory"), ("digits_cnn", "no-op, C", "HTTP")}
        <= measured
    )
    assert all(cell["load"]["rate"] > 0 and cell["load"]["errors"] == 0 for cell in found["cells"])
    assert (reports / "bench-smoke.png").read_bytes().startswith(b"\x89PNG")
    assert "| embedded Triton" in done.stdout


def test_an_unknown_peer_is_one_line_that_names_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--peers", "flask"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "flask: no such peer; there are triton" in done.stderr
    assert "Traceback" not in done.stderr
