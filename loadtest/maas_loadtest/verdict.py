"""The conclusion of a load test: every condition, held or not, and what follows.

Conditions of *validity* are about the measurement: where one does not hold, its figures say nothing about the server.
Conditions of the *objective* are about the server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from maas_core.service_level import ServiceLevel, percent_of
from maas_loadtest.early_stopping import samples_needed
from maas_loadtest.histogram import Counts
from maas_loadtest.report_model import Agreement, Check, Status, Totals, Verdict, WorkerEntry
from maas_loadtest.throughput import Part

MOST_DELAYED = 0.001
LEAST_ACHIEVED = 0.99
MOST_UNSTEADY = 0.05
MOST_GAP_ERROR = 0.1
LEAST_GAP_ERROR_US = 250.0
"""Distances between sends are not asked to be kept more exactly than an operating system wakes a process."""


@dataclass(frozen=True)
class Facts:
    """What the verdict looks at.

    Attributes:
        is_open: whether there was a schedule.
        is_steady: whether all parts of the run are to be alike.
        finds_knee: whether the load was to grow beyond what the server carries.
        duration_s: how long was measured.
        min_duration_s: as the user has it.
        min_requests: as the user has it; None takes what the objective's percentile needs.
        max_cpu_percent: as the user has it.
        interrupted: why the run ended before its time; "" where it did not.
        parts: throughput of equal parts of the run.
        timed_sends: requests (or sequences) whose send had a scheduled moment.
        gap_error_us: how far distances between sends were from the planned ones, worst worker.
        mean_gap_us: the planned distance, of that worker.
        agreement_required: whether client and server must have counted the same.
        statistics_note: why the server's counts are not known.
        has_knee: whether a stage of a ramp held everything.
        judged: response times that the objective is for, and with what share of failed requests.
        first: times to the first answer of a stream.
        between: times between answers of a stream.
    """

    is_open: bool
    is_steady: bool
    finds_knee: bool
    duration_s: float
    min_duration_s: float
    min_requests: int | None
    max_cpu_percent: float
    interrupted: str
    totals: Totals
    workers: Sequence[WorkerEntry]
    parts: Sequence[Part]
    timed_sends: int
    gap_error_us: float | None
    mean_gap_us: float
    agreement: Sequence[Agreement]
    agreement_required: bool
    statistics_note: str
    has_knee: bool
    judged: Counts
    judged_errors: int
    first: Counts
    between: Counts


def judge(facts: Facts, level: ServiceLevel | None) -> Verdict:
    """The verdict with all conditions."""
    checks = [*_of_the_run(facts, level), *(_of_the_load(facts) if facts.is_open else [])]
    # Of a run that ended early the reason is said; that its parts do not fit together says nothing more.
    if facts.is_steady and not facts.interrupted:
        checks.append(_stability(facts))
    if facts.agreement_required and not facts.interrupted:
        checks += [_agreement(one) for one in facts.agreement] or [_no_agreement(facts.statistics_note)]
    checks += _of_the_objective(facts, level)
    broken = [check for check in checks if not check.held]
    if any(check.concerns == "validity" for check in broken):
        status = Status.INVALID
    else:
        status = Status.SLO_FAILED if broken else Status.VALID
    reasons = tuple(f"{check.name}: wanted {check.wanted}, got {check.got}" for check in broken)
    return Verdict(status=status, reasons=reasons, checks=tuple(checks))


def _valid(name: str, wanted: str, got: str, *, held: bool) -> Check:
    return Check(name=name, wanted=wanted, got=got, held=held, concerns="validity")


def _of_the_run(facts: Facts, level: ServiceLevel | None) -> list[Check]:
    """Of every loop."""
    totals = facts.totals
    busiest = max((worker.cpu_percent_worst for worker in facts.workers), default=0.0)
    # Seconds that were added up stage by stage.
    least_s = facts.min_duration_s * (1 - 1e-6)
    return [
        _valid("end of the run", "as planned", facts.interrupted or "as planned", held=not facts.interrupted),
        _valid(
            "duration", f">= {facts.min_duration_s:g} s", f"{facts.duration_s:.1f} s", held=facts.duration_s >= least_s
        ),
        *_enough_answers(facts, level),
        _valid(
            "outcomes",
            f"one for each of {totals.sent:,} requests",
            f"{totals.answered + totals.errors:,}",
            held=facts.interrupted != "" or totals.answered + totals.errors >= totals.sent,
        ),
        _valid(
            "generator CPU",
            f"< {facts.max_cpu_percent:g} % of a core",
            f"{busiest:.0f} %",
            held=busiest < facts.max_cpu_percent,
        ),
    ]


def _enough_answers(facts: Facts, level: ServiceLevel | None) -> list[Check]:
    """By the user's number; else each limit needs as many as its percentile, of those that it is judged on."""
    answered = facts.totals.answered
    if facts.min_requests is not None:
        least = max(1, facts.min_requests)
        return [_valid("answers", f">= {least:,}", f"{answered:,}", held=answered >= least)]
    limits = {"p99": 0.0} if level is None else level.limits_ms
    checks = []
    for name in limits or ("p0",):
        found, needed = _judged_on(name, facts).total, samples_needed(percent_of(name)) if limits else 1
        title = f"answers for {name}" if limits else "answers"
        checks.append(_valid(title, f">= {needed:,}", f"{found:,}", held=found >= needed))
    return checks


def _judged_on(name: str, facts: Facts) -> Counts:
    return {"": facts.judged, "first": facts.first, "between": facts.between}[name.rpartition("_")[0]]


def _of_the_load(facts: Facts) -> list[Check]:
    """Of an open loop: whether what was offered is what was planned, and whether it was carried."""
    totals = facts.totals
    delayed = totals.delayed / max(1, facts.timed_sends)
    checks = [
        _valid(
            f"delayed by more than {totals.lateness_limit_us / 1000:g} ms",
            f"<= {MOST_DELAYED:.1%}",
            f"{delayed:.2%} ({totals.delayed:,})",
            held=delayed <= MOST_DELAYED,
        )
    ]
    if facts.gap_error_us is not None:
        limit_us = max(MOST_GAP_ERROR * facts.mean_gap_us, min(LEAST_GAP_ERROR_US, facts.mean_gap_us / 2))
        checks.append(
            _valid(
                "distances between sends",
                f"as planned to {limit_us:.0f} µs in the mean",
                f"{facts.gap_error_us:.0f} µs",
                held=facts.gap_error_us <= limit_us,
            )
        )
    if facts.finds_knee:
        return checks
    # Errors are judged by the objective, not here as well.
    good = totals.answered / max(1, totals.answered + totals.errors)
    achieved = totals.achieved_per_s / (totals.offered_per_s * good) if totals.offered_per_s * good else 0.0
    return [
        *checks,
        _valid("dropped", "0", f"{totals.dropped:,}", held=totals.dropped == 0),
        _valid(
            "achieved of the offered rate",
            f">= {LEAST_ACHIEVED:.0%}",
            f"{achieved:.1%} ({totals.achieved_per_s:.1f} of {totals.offered_per_s:.1f} per second)",
            held=achieved >= LEAST_ACHIEVED,
        ),
    ]


def _stability(facts: Facts) -> Check:
    wanted = f"parts of the run within {MOST_UNSTEADY:.0%} of their mean"
    if len(facts.parts) < 2 or not any(part.throughput for part in facts.parts):
        return _valid("throughput over time", wanted, "too short to tell", held=False)
    mean = sum(part.throughput for part in facts.parts) / len(facts.parts)
    deviations = [(abs(part.throughput / mean - 1), max(MOST_UNSTEADY, part.slack)) for part in facts.parts]
    worst, allowed = max(deviations, key=lambda one: one[0] - one[1])
    if allowed > MOST_UNSTEADY:
        wanted += f" ({allowed:.0%} for so few requests)"
    return _valid("throughput over time", wanted, f"{worst:.1%}", held=worst <= allowed)


def _no_agreement(note: str) -> Check:
    return _valid("requests counted by the server", "as by the client", f"not told: {note}", held=False)


def _agreement(one: Agreement) -> Check:
    unknown = f", or up to {one.unknown:,} more that were given up" if one.unknown else ""
    return _valid(
        f"requests of {one.model} counted by the server",
        f"{one.client:,} as by the client{unknown}",
        f"{one.server:,}",
        held=one.agree,
    )


def _of_the_objective(facts: Facts, level: ServiceLevel | None) -> list[Check]:
    checks = [
        _latency(name, limit_ms, facts) for name, limit_ms in (level.limits_ms if level is not None else {}).items()
    ]
    if facts.finds_knee:
        checks.append(
            Check(
                name="knee",
                wanted="at least one stage that holds",
                got="found" if facts.has_knee else "none",
                held=facts.has_knee,
                concerns="objective",
            )
        )
    allowed = level.error_rate if level is not None and level.error_rate is not None else 0.0
    asked = facts.judged.total + facts.judged_errors
    share = facts.judged_errors / asked if asked else 0.0
    checks.append(
        Check(
            name="errors",
            wanted=f"<= {allowed:.3%}",
            got=f"{share:.3%} ({facts.judged_errors:,} of {asked:,})",
            held=share <= allowed,
            concerns="objective",
        )
    )
    return checks


def _latency(name: str, limit_ms: float, facts: Facts) -> Check:
    """A request without a good answer is slower than any limit; a lost stream lost its first answer, too."""
    failures = 0 if name.startswith("between") else facts.judged_errors
    found_us = _judged_on(name, facts).percentile_with_failures(percent_of(name), failures)
    found_ms = math.inf if found_us is None else found_us / 1000
    return Check(
        name=name,
        wanted=f"<= {limit_ms:g} ms",
        got="no answer" if found_us is None else f"{found_ms:.3f} ms",
        held=found_ms <= limit_ms,
        concerns="objective",
    )
