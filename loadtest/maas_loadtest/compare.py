"""Two load tests side by side: what got better, what got worse, and what the measurements cannot tell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from maas_core.errors import WrongUse
from maas_loadtest.bootstrap import CONFIDENCE, Draws, Floats, Interval, Measure, all_values, draw, interval_of
from maas_loadtest.early_stopping import samples_needed
from maas_loadtest.report_model import REPORT_FILE, LoadReport, Status, read_report
from maas_loadtest.time_line import loaded_windows

SCHEMA = 1
FEWEST_WINDOWS = 10
RESAMPLES = 1000
SEED = 7
PERCENTS = (50.0, 90.0, 99.0, 99.9)
THROUGHPUT, LOST, MEAN = "throughput", "lost", "mean"
FIGURES = (*(f"p{percent:g}" for percent in PERCENTS), MEAN, THROUGHPUT, LOST)
GATED = ("p50", "p99", THROUGHPUT, LOST)
Outcome = Literal["better", "same", "worse", "unclear"]


@dataclass(frozen=True)
class Change:
    """One figure of both sides.

    Attributes:
        name: one of :data:`FIGURES`.
        unit: "us", "per_s" or "share".
        baseline: the figure of the first side; None where there is none.
        candidate: of the second.
        change: relative, 0.05 for 5 % more; of a share the difference itself.
        tolerance: how much worse it may get, in the unit of ``change``.
        outcome: *worse* where it is beyond the tolerance and no mere chance; *better* likewise; *same* where a loss
            beyond the tolerance can be ruled out; else *unclear*.
        note: why it is unclear, where that is known.
    """

    name: str
    unit: str
    baseline: float | None
    candidate: float | None
    change: Interval
    tolerance: float
    outcome: Outcome
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """What was not the same in the two tests; ``matters``: their figures cannot be compared because of it."""

    what: str
    baseline: str
    candidate: str
    matters: bool


@dataclass(frozen=True)
class Comparison:
    """All of it.

    Attributes:
        baseline: one or several runs.
        candidate: likewise.
        gated: names of the figures that a gate looks at.
    """

    baseline: Sequence[LoadReport]
    candidate: Sequence[LoadReport]
    changes: Sequence[Change]
    differences: Sequence[Difference]
    gated: Sequence[str] = GATED

    @property
    def regressions(self) -> list[Change]:
        """What a gate fails on."""
        return [change for change in self.changes if change.name in self.gated and change.outcome == "worse"]

    @property
    def unclear(self) -> list[Change]:
        """What a gate looks at and cannot tell."""
        return [change for change in self.changes if change.name in self.gated and change.outcome == "unclear"]

    @property
    def tells_nothing(self) -> bool:
        """Whether no figure that a gate looks at could be told."""
        return len(self.unclear) == len(self.gated)

    @property
    def obstacles(self) -> list[str]:
        """Why the figures must not be compared."""
        found = [f"{one.what} differs: {one.baseline} and {one.candidate}" for one in self.differences if one.matters]
        for side, reports in (("baseline", self.baseline), ("candidate", self.candidate)):
            invalid = [report for report in reports if report.verdict.status == Status.INVALID]
            if invalid:
                found.append(f"the {side} is INVALID: {'; '.join(invalid[0].verdict.reasons)}")
        return found

    def as_json(self) -> dict[str, Any]:
        """For programs; the fields stay as long as ``schema`` does."""
        changes = [asdict(change) for change in self.changes]
        for entry in changes:
            # JSON has no infinity.
            entry["change"] = {key: value if math.isfinite(value) else None for key, value in entry["change"].items()}
        return {
            "schema": SCHEMA,
            "confidence": CONFIDENCE,
            "comparable": not self.obstacles,
            "obstacles": self.obstacles,
            "regressions": [change.name for change in self.regressions],
            "unclear": [change.name for change in self.unclear],
            "changes": changes,
            "differences": [asdict(one) for one in self.differences],
        }


def read_side(path: Path) -> list[LoadReport]:
    """The report of a file or folder, or all reports of the folders in a folder: runs of the same load.

    Raises:
        WrongUse: there is none, or one is broken.
    """
    if path.is_dir() and not (path / REPORT_FILE).is_file():
        files = sorted(path.glob(f"*/{REPORT_FILE}"))
        if not files:
            raise WrongUse(f"{path} holds no report", f"name a folder with {REPORT_FILE}, or with several such folders")
        return [read_report(file) for file in files]
    return [read_report(path)]


def compare(
    baseline: Sequence[LoadReport],
    candidate: Sequence[LoadReport],
    *,
    tolerance: float,
    lost_tolerance: float,
    gated: Sequence[str] = GATED,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compares two load tests, or two sets of runs of one load.

    Args:
        baseline: what is compared with.
        candidate: what is judged.
        tolerance: relative change for the worse that is accepted, e.g. 0.05.
        lost_tolerance: likewise of the share of lost requests, absolute, e.g. 0.001.
        gated: names of the figures that a gate looks at.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        WrongUse: a report has no windows.
    """
    for report in (*baseline, *candidate):
        if not loaded_windows(report):
            raise WrongUse(
                f"the report of {report.started_at} has no windows", "it was stopped before it measured anything"
            )
    values_us = all_values([*baseline, *candidate])
    # Seeds differ, so that a report compared with itself is not found equal because both drew alike.
    sides = [
        draw(reports, values_us, resamples=resamples, seed=seed + number)
        for number, reports in enumerate((baseline, candidate))
    ]
    counts = [sum(report.response.count for report in reports) for reports in (baseline, candidate)]
    windows = min(sum(len(loaded_windows(report)) for report in reports) for reports in (baseline, candidate))
    changes = []
    for name, (unit, measure) in _measures().items():
        before, after = (measure(side) for side in sides)
        note = _doubt(name, min(counts), windows)
        limit = lost_tolerance if unit == "share" else tolerance
        changes.append(_change(name, unit, before, after, limit, note))
    return Comparison(baseline, candidate, changes, differences(baseline, candidate), gated)


def _measures() -> dict[str, tuple[str, Measure]]:
    return {
        **{f"p{percent:g}": ("us", partial(Draws.percentile_us, percent=percent)) for percent in PERCENTS},
        MEAN: ("us", Draws.mean_us),
        THROUGHPUT: ("per_s", Draws.throughput_per_s),
        LOST: ("share", Draws.lost_share),
    }


def _doubt(name: str, answers: int, windows: int) -> str:
    if windows < FEWEST_WINDOWS:
        return f"{windows} windows tell no interval, {FEWEST_WINDOWS} are needed"
    if name.startswith("p") and answers < (needed := samples_needed(float(name[1:]))):
        return f"{answers:,} answers carry no {name}, {needed:,} are needed"
    return ""


def _change(name: str, unit: str, before: Floats, after: Floats, tolerance: float, note: str) -> Change:
    difference = after - before if unit == "share" else after / before - 1
    change = interval_of(difference)
    # More throughput is better; more of anything else is worse.
    sign = -1.0 if name == THROUGHPUT else 1.0
    worse, least, most = (sign * value for value in (change.estimate, change.low, change.high))
    least, most = min(least, most), max(least, most)
    outcome: Outcome = "unclear"
    if not note:
        if worse > tolerance and least > 0:
            outcome = "worse"
        elif worse < -tolerance and most < 0:
            outcome = "better"
        elif most <= tolerance:
            outcome = "same"
        else:
            note = "the interval does not rule out a loss beyond the tolerance: measure longer, or several runs"
    return Change(name, unit, _known(before[0]), _known(after[0]), change, tolerance, outcome, note)


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def differences(baseline: Sequence[LoadReport], candidate: Sequence[LoadReport]) -> list[Difference]:
    """What was set differently, or ran elsewhere; what figures depend on may not differ within a side either."""
    sides = [[_circumstances(report) for report in reports] for reports in (baseline, candidate)]
    found = []
    for what in sides[0][0]:
        matters = any(one[what][1] for side in sides for one in side)
        first, second = ([one[what][0] for one in side] for side in sides)
        if len({*first, *second}) > 1 if matters else set(first) != set(second):
            found.append(Difference(what, _in_words(first), _in_words(second), matters))
    return found


def _in_words(values: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(values))


def _circumstances(report: LoadReport) -> Mapping[str, tuple[str, bool]]:
    """What -> value in words, and whether figures of different values cannot be compared."""
    schedule = report.schedule
    inputs = ", ".join(
        f"{entry.model} ({entry.items_per_request:g} items, weight {entry.weight:g})" for entry in report.inputs
    )
    rates = ", ".join(f"{rate:g}/s" for _, rate in schedule.stages)
    versions = ", ".join(f"{entry.model} {'/'.join(entry.versions)}" for entry in report.models)
    return {
        "scenario": (report.scenario.name, True),
        "loop": (report.scenario.loop, True),
        "arrivals": (schedule.arrivals, True),
        "rate": (rates, True),
        "callers": (json.dumps(report.settings.get("callers")), report.scenario.loop == "closed"),
        "models and batch sizes": (inputs, True),
        "protocol": (report.target.protocol, True),
        "machine": (report.machine, False),
        "server": (f"{report.target.server} {report.target.server_version}", False),
        "versions that answered": (versions, False),
        "duration": (f"{report.schedule.duration_s:g} s", False),
        "seed": (str(report.seed), False),
        "inputs": (", ".join(entry.sha256[:12] for entry in report.inputs), False),
        "software": (", ".join(f"{name} {version}" for name, version in sorted(report.versions.items())), False),
    }
