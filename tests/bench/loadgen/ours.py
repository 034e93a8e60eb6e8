"""``maas load run`` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from bench.loadgen.figures import Found
from maas_core.errors import ExitCode, NotHeld
from maas_loadtest.report_model import REPORT_FILE, LoadReport, read_report

OURS = "maas load"
_TIMEOUT_S = 180.0
_WITH_REPORT = (ExitCode.DONE, ExitCode.NOT_HELD, ExitCode.NOT_VALID)


def run(scenario: str, url: str, model: str, seconds: float, *options: str, core: int | None = None) -> LoadReport:
    """One load test; ``core`` pins it to one core.

    Raises:
        NotHeld: it ended without a report.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "report"
        command = [sys.executable, "-m", "maas_core", "load", "run", scenario, "--url", url, "--model", model]
        command += ["--duration", f"{seconds:g}", "--min-duration", f"{seconds:g}", "--report", str(folder), *options]
        if core is not None:
            command = ["taskset", "--cpu-list", str(core), *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + _TIMEOUT_S, check=False)
        if done.returncode not in _WITH_REPORT or not (folder / REPORT_FILE).is_file():
            raise NotHeld(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return read_report(folder)


def found(report: LoadReport, *, service: bool = False) -> Found:
    """The figures of a report: response times, or service times as closed loops of other tools count them."""
    latency = report.service if service else report.response
    by_percent = {entry.percent: (entry.latency_us or 0) / 1e3 for entry in latency.percentiles}
    server = report.server[0].request_us / 1e3 if report.server else None
    return Found(
        OURS,
        report.totals.achieved_per_s,
        report.duration_s,
        report.totals.answered,
        by_percent[50.0],
        by_percent[99.0],
        by_percent[99.9],
        max((worker.cpu_percent for worker in report.workers), default=None),
        server,
    )
