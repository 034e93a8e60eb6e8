"""The short load test of a candidate: ``maas load run server`` as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from maas_rollout.ports import Address, Judgement, Objective

_SAMPLES = 100
_SPARE_S = 120.0
_DELAYS = ("delayed by more than", "distances between sends", "generator CPU", "throughput over time")
"""How the reasons begin that a generator which was held up gives; see :mod:`maas_loadtest.verdict`."""


class ShortLoadTest:
    """Open loop, at a modest rate: it is to find what is plainly too slow or fails, not how much the server bears.

    Args:
        repository: where the golden samples lie.
        rate_per_s: requests per second.
        duration_s: how long is measured.
    """

    def __init__(self, repository: Path, rate_per_s: float, duration_s: float) -> None:
        self._repository = repository
        self._rate_per_s = rate_per_s
        self._duration_s = duration_s

    def run(self, model: str, address: Address, objective: Objective) -> Judgement:
        """See :class:`maas_rollout.ports.LoadTest`."""
        command = [sys.executable, "-m", "maas_core", "load", "run", "server", "--json", "--model", model]
        command += ["--url", f"grpc://{address.grpc}", "--repository", str(self._repository)]
        command += ["--rate", f"{self._rate_per_s:g}", "--duration", f"{self._duration_s:g}s", "--warmup", "1s"]
        command += ["--min-duration", "1s", "--min-requests", str(min(_SAMPLES, self._planned))]
        command += ["--slo", f"p99={objective.p99_ms:g}ms,errors={objective.error_rate * 100:g}%"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=self._duration_s + _SPARE_S
            )
        except subprocess.TimeoutExpired:
            return Judgement("hold", [f"the load test did not end within {self._duration_s + _SPARE_S:g} s"])
        try:
            summary = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            said = done.stderr.strip().splitlines()
            return Judgement("hold", [f"the load test said nothing: {said[-1] if said else f'exit {done.returncode}'}"])
        return judged(summary, objective)

    @property
    def _planned(self) -> int:
        return max(int(self._rate_per_s * self._duration_s / 2), 1)


def judged(summary: dict[str, Any], objective: Objective) -> Judgement:
    """The verdict of the load test as a judgement.

    A generator that was held up makes response times look longer, never shorter, as they count from the scheduled
    moment: where it is not valid for that reason alone, and even so the objective was held and nothing failed, it does
    for a yes. Too few answers, or answers that the server did not count, prove nothing.
    """
    totals = summary["totals"]
    p99_us = summary["response_us"].get("p99")
    evidence = {
        "status": summary["status"],
        "reasons": summary["reasons"],
        "answered": totals["answered"],
        "errors": totals["errors"],
        "wrong": totals["wrong"],
        "p99_ms": round(p99_us / 1000, 3) if p99_us is not None else None,
        "report": summary["report"],
    }
    held = p99_us is not None and p99_us / 1000 <= objective.p99_ms and totals["errors"] == totals["wrong"] == 0
    only_delayed = summary["status"] == "INVALID" and all(reason.startswith(_DELAYS) for reason in summary["reasons"])
    if summary["status"] == "VALID" or (only_delayed and held):
        return Judgement("go", [], evidence)
    return Judgement("back" if summary["status"] == "SLO_FAILED" else "hold", list(summary["reasons"]), evidence)
