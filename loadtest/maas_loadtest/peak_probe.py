"""One load test of a peak search: ``maas load run`` as a process of its own, and what its report says about a rate."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_client._cli.options import API_KEY
from maas_core.errors import ExitCode, MaasError, NotReachable, WrongUse
from maas_core.service_level import ServiceLevel, percent_of
from maas_loadtest.distribution import read_distribution
from maas_loadtest.early_stopping import samples_needed
from maas_loadtest.peak import Limit, Probe
from maas_loadtest.report_model import Check, LoadReport, Status, read_report

_GENERATOR_CHECKS = ("generator CPU", "delayed", "distances between sends", "workers")
"""Beginnings of the names of conditions that tell of the load generator, not of the server."""
_SERVER_CHECKS = ("dropped", "achieved", "throughput over time")
"""Likewise of conditions of validity that an overloaded server breaks."""
_TOO_SHORT = "too short to tell"
_DEFAULT_PERCENT = 99.0
_SPARE = 1.15
"""More requests than the objective's percentile needs, as Poisson arrivals vary in number."""
_PROGRAM = "maas load: "
"""How an error of the command begins on a terminal."""
_PASSED_ON = (ExitCode.WRONG_USE, ExitCode.NOT_REACHABLE)


@dataclass(frozen=True)
class Prober:
    """Loads with one rate after another.

    Attributes:
        scenario: an open loop, e.g. ``server``.
        arguments: further options of ``maas load run``, without the key.
        duration_s: of one load test; longer where a low rate needs it for the percentile.
        folder: where the reports go, one folder each.
        seed: of the first; each further one takes the next.
        api_key: None leaves what the environment says.
    """

    scenario: str
    arguments: Sequence[str]
    objective: str
    level: ServiceLevel
    duration_s: float
    folder: Path
    seed: int
    api_key: str | None = None

    @property
    def percent(self) -> float:
        """The percentile that the knee is drawn for: the highest of the objective, which needs the most answers."""
        named = [percent_of(name) for name in self.level.limits_ms if name.startswith("p")]
        return max(named, default=_DEFAULT_PERCENT)

    def probe(self, rate_per_s: float, number: int, *, confirms: bool) -> Probe:
        """One load test.

        Raises:
            WrongUse: ``maas load run`` does not take the options.
            NotReachable: there is no server.
            MaasError: it ended without a report.
        """
        seed = self.seed + number
        folder = self.folder / f"{number + 1:02d}-{rate_per_s:.0f}-per-s"
        needed_s = _SPARE * samples_needed(self.percent) / rate_per_s
        seconds = math.ceil(max(self.duration_s, needed_s))
        command = [sys.executable, "-m", "maas_core", "load", "run", self.scenario, "--json", "--slo", self.objective]
        command += ["--rate", f"{rate_per_s:g}", "--duration", str(seconds), "--min-duration", str(seconds)]
        command += ["--seed", str(seed), "--report", str(folder), *self.arguments]
        code, words = _run(command, {**os.environ, **({API_KEY: self.api_key} if self.api_key else {})})
        if code in _PASSED_ON:
            kind = WrongUse if code == ExitCode.WRONG_USE else NotReachable
            raise kind(words.removeprefix(_PROGRAM))
        try:
            report = read_report(folder)
        except WrongUse as error:
            raise MaasError(
                f"the load test at {rate_per_s:g}/s ended without a report: {words.removeprefix(_PROGRAM)}"
            ) from error
        return judged(report, rate_per_s, self.percent, folder, confirms=confirms)


def judged(report: LoadReport, rate_per_s: float, percent: float, folder: Path, *, confirms: bool) -> Probe:
    """What a report says about a rate."""
    return Probe(
        rate_per_s=rate_per_s,
        achieved_per_s=report.totals.achieved_per_s,
        holds=report.verdict.status is Status.VALID,
        limit=_limit(report.verdict.checks),
        latency_us=read_distribution(report.response.histogram).percentile_us(percent),
        percent=percent,
        reasons=report.verdict.reasons,
        seed=report.seed,
        report=str(folder),
        confirms=confirms,
    )


def _limit(checks: Sequence[Check]) -> Limit:
    broken = [check for check in checks if not check.held]
    if not broken:
        return Limit.NOTHING
    if any(check.name.startswith(_GENERATOR_CHECKS) for check in broken):
        return Limit.GENERATOR
    of_server = [check for check in broken if check.concerns == "objective" or check.name.startswith(_SERVER_CHECKS)]
    return Limit.SERVER if any(check.got != _TOO_SHORT for check in of_server) else Limit.MEASUREMENT


def _run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit code, and the last line of what it said."""
    # A session of its own: Ctrl-C on a terminal then reaches it once, from here, and it still writes its report.
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        _, words = process.communicate()
    except BaseException:
        process.send_signal(signal.SIGINT)
        process.communicate()
        raise
    lines = words.strip().splitlines()
    return process.returncode, lines[-1] if lines else "it said nothing"
