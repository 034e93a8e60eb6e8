"""The stages of a schedule whose rate changes: what each was offered and how it was answered."""

from __future__ import annotations

from collections.abc import Sequence

from maas_core.service_level import ServiceLevel, percent_of
from maas_loadtest.histogram import merged_counts
from maas_loadtest.job import Job
from maas_loadtest.report_model import StageFigures
from maas_loadtest.scenario import Scenario
from maas_loadtest.tally import Tally, WindowTally
from maas_loadtest.verdict import LEAST_ACHIEVED


def stage_figures(scenario: Scenario, job: Job, tally: Tally, window_s: float) -> tuple[StageFigures, ...]:
    """One entry a stage; of a ramp, the last stage in a row from the first that held everything is the knee."""
    found: list[StageFigures] = []
    holds_so_far = True
    for (start_s, length_s), some in zip(_spans(job), _windows(job, tally, window_s), strict=True):
        response = merged_counts(window.response for window in some)
        offered = sum(window.counts["offered"] for window in some)
        completed = sum(window.counts["completed"] for window in some)
        errors = sum(window.counts["errors"] for window in some)
        dropped = sum(window.counts["dropped"] for window in some)
        found.append(
            StageFigures(
                at_s=start_s,
                length_s=length_s,
                offered_per_s=offered / length_s,
                achieved_per_s=completed / length_s,
                errors=errors,
                dropped=dropped,
                p50_us=response.percentile(50),
                p99_us=response.percentile(99),
            )
        )
        in_time = job.level is None or _holds(job.level, some)
        # By when requests were due: those of a stage that are answered after its end are its own.
        answered = sum(window.counts["answered"] for window in some)
        carried = answered + errors >= LEAST_ACHIEVED * offered and not dropped and bool(response.total)
        holds_so_far = holds_so_far and in_time and carried
        if scenario.finds_knee and holds_so_far:
            knee = len(found) - 1
            found = [one.model_copy(update={"knee": number == knee}) for number, one in enumerate(found)]
    return tuple(found)


def judged_windows(scenario: Scenario, job: Job, tally: Tally, window_s: float) -> list[WindowTally]:
    """The windows whose answers the objective is for."""
    if scenario.judged_stage is None:
        return list(tally.windows.values())
    return list(_windows(job, tally, window_s)[scenario.judged_stage])


def _holds(level: ServiceLevel, some: Sequence[WindowTally]) -> bool:
    response = merged_counts(window.response for window in some)
    errors = sum(window.counts["errors"] for window in some)
    asked = response.total + errors
    limits = {name: limit for name, limit in level.limits_ms.items() if name.startswith("p")}
    in_time = all(
        (found := response.percentile_with_failures(percent_of(name), errors)) is not None and found <= limit * 1000
        for name, limit in limits.items()
    )
    return in_time and errors <= (level.error_rate or 0.0) * asked


def _spans(job: Job) -> list[tuple[float, float]]:
    spans, start_s = [], 0.0
    for stage in job.stages:
        spans.append((start_s, stage.duration_s))
        start_s += stage.duration_s
    return spans


def _windows(job: Job, tally: Tally, window_s: float) -> list[list[WindowTally]]:
    """The windows that lie in each stage with their middle."""
    return [
        [
            window
            for number, window in sorted(tally.windows.items())
            if start_s <= (number + 0.5) * window_s < start_s + length_s
        ]
        for start_s, length_s in _spans(job)
    ]
