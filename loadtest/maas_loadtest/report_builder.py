"""From what was observed to the report."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from maas_core.machine import machine_in_words
from maas_loadtest.histogram import Counts, latency_of, merged_counts
from maas_loadtest.job import Job
from maas_loadtest.report_model import (
    Agreement,
    Cost,
    ErrorEntry,
    LoadReport,
    ModelFigures,
    ObjectiveEntry,
    ScenarioEntry,
    ScheduleEntry,
    ServerFigures,
    Totals,
    Window,
    WorkerEntry,
)
from maas_loadtest.run import COMMAND
from maas_loadtest.scenario import Scenario
from maas_loadtest.server_figures import Snapshot, figures, windows
from maas_loadtest.settings import Settings, shown_command
from maas_loadtest.stages import judged_windows, stage_figures
from maas_loadtest.tally import Tally, WindowTally, WorkerTally
from maas_loadtest.throughput import closed_rate, throughput_parts
from maas_loadtest.verdict import Facts, judge

_PACKAGES = ("triton-maas", "locust", "gevent", "grpcio", "tritonclient", "hdrhistogram", "numpy")


@dataclass(frozen=True)
class Observed:
    """All that is known after the last answer.

    Attributes:
        snapshots: the server's counters at these seconds; the first before the first request.
        statistics_note: why there are none.
        why_ended: before its time; "" where the run is complete.
    """

    tally: Tally
    snapshots: Sequence[tuple[float, Snapshot]]
    statistics_note: str
    started_at: str
    elapsed_s: float
    window_s: float
    why_ended: str


def build_report(scenario: Scenario, settings: Settings, job: Job, observed: Observed) -> LoadReport:
    """The report with its verdict."""
    tally = observed.tally
    duration_s = min(observed.elapsed_s, job.duration_s)
    late = merged_counts(worker.late for worker in tally.workers.values())
    totals = _totals(settings, job, tally, duration_s, observed.window_s, late)
    workers = tuple(map(_worker, tally.workers.values()))
    server = tuple(figures(observed.snapshots[0][1], observed.snapshots[-1][1])) if observed.snapshots else ()
    agreement = agreements(job, tally, observed.snapshots) if observed.snapshots else ()
    stages = stage_figures(scenario, job, tally, observed.window_s) if len(job.stages) > 1 else ()
    judged = judged_windows(scenario, job, tally, observed.window_s)
    facts = Facts(
        is_open=scenario.loop == "open",
        is_steady=scenario.is_steady,
        finds_knee=scenario.finds_knee,
        duration_s=duration_s,
        min_duration_s=settings.min_duration,
        min_requests=settings.min_requests,
        max_cpu_percent=settings.max_cpu,
        interrupted=observed.why_ended,
        totals=totals,
        workers=workers,
        parts=throughput_parts(tally, job, observed.window_s),
        timed_sends=late.total,
        gap_error_us=max((one.gap_error_us for one in tally.workers.values() if one.gap_error_us), default=None),
        mean_gap_us=job.mean_gap_us * max(1, len(workers)),
        agreement=agreement,
        agreement_required=settings.agreement == "required",
        statistics_note=observed.statistics_note or ("" if observed.snapshots else "no statistics"),
        has_knee=any(stage.knee for stage in stages),
        judged=merged_counts(window.response for window in judged),
        judged_errors=sum(window.counts["errors"] for window in judged),
        first=merged_counts(model.first for model in tally.models.values()),
        between=merged_counts(model.between for model in tally.models.values()),
    )
    return LoadReport(
        scenario=ScenarioEntry(
            name=scenario.name, question=scenario.question, pass_rule=scenario.pass_rule, loop=scenario.loop
        ),
        verdict=judge(facts, job.level),
        objective=ObjectiveEntry(text=str(job.level), source=job.level_source) if job.level else None,
        started_at=observed.started_at,
        duration_s=duration_s,
        interrupted=bool(observed.why_ended),
        command=os.environ.get(COMMAND) or shown_command(["locust", *sys.argv[1:]]),
        settings=settings.shown(),
        seed=settings.seed,
        target=job.target,
        schedule=_schedule(scenario, settings, job),
        inputs=job.inputs,
        totals=totals,
        response=latency_of(merged_counts(model.response for model in tally.models.values())),
        service=latency_of(merged_counts(model.service for model in tally.models.values())),
        lateness=latency_of(late),
        models=tuple(_model(name, tally) for name in job.models),
        errors=tuple(
            ErrorEntry(model=model, kind=kind, message=message, count=entry.count, first_at_s=entry.first_at_s)
            for (model, kind, message), entry in sorted(tally.errors.items(), key=lambda one: -one[1].count)
        ),
        windows=tuple(
            _window(number, tally.windows[number], observed.window_s) for number in range(_last_window(tally) + 1)
        ),
        stages=stages,
        server=server,
        server_windows=tuple(windows(observed.snapshots)),
        server_note=observed.statistics_note,
        agreement=agreement,
        workers=workers,
        machine=machine_in_words(),
        versions=_versions(),
        cost=_cost(settings, totals),
    )


def agreements(job: Job, tally: Tally, snapshots: Sequence[tuple[float, Snapshot]]) -> tuple[Agreement, ...]:
    """What client and server counted between the first snapshot and the last, for each model."""
    server = figures(snapshots[0][1], snapshots[-1][1])
    return tuple(_agreement(model, job, tally, server) for model in job.models)


def _last_window(tally: Tally) -> int:
    return max((number for number, window in tally.windows.items() if window.counts), default=-1)


def _totals(settings: Settings, job: Job, tally: Tally, duration_s: float, window_s: float, late: Counts) -> Totals:
    def of_models(name: str) -> int:
        return sum(model.counts[name] for model in tally.models.values())

    scheduled, answered = tally.total("offered"), of_models("answered")
    offered_span_s, answered_span_s = _spans_s(job, tally, duration_s)
    if job.schedule is None:
        achieved_per_s = closed_rate(tally, duration_s, window_s)
    else:
        achieved_per_s = _per_second(answered, answered_span_s, duration_s) if answered else 0.0
    limit_us = int(settings.late_after * 1e6)
    return Totals(
        scheduled=scheduled,
        sent=of_models("sent"),
        answered=answered,
        errors=of_models("errors"),
        dropped=tally.total("dropped"),
        delayed=late.above(limit_us),
        lateness_limit_us=limit_us,
        checked=of_models("checked"),
        wrong=of_models("wrong"),
        items=of_models("items"),
        bytes_sent=of_models("bytes_sent"),
        bytes_received=of_models("bytes_received"),
        offered_per_s=_per_second(scheduled, offered_span_s, duration_s),
        achieved_per_s=achieved_per_s,
    )


def _per_second(count: int, span_s: float | None, duration_s: float) -> float:
    """A rate by the distances between first and last, or where there is no such span by the measured time."""
    if span_s is not None and count > 1 and span_s > 0:
        return (count - 1) / span_s
    return count / max(duration_s, 1e-9)


def _spans_s(job: Job, tally: Tally, duration_s: float) -> tuple[float | None, float | None]:
    """From the first to the last scheduled moment, and from the first to the last good answer.

    Rates are compared over spans of their own, so that the time that the last answer takes does not count as a loss of
    throughput, while a queue that grows does. A closed loop has none.
    """
    if job.schedule is None or tally.first_answer_s is None or tally.last_answer_s is None:
        return None, None
    last_s = min(job.schedule.at_ns[-1] / 1e9, duration_s)
    return last_s - job.schedule.at_ns[0] / 1e9, tally.last_answer_s - tally.first_answer_s


def _worker(worker: WorkerTally) -> WorkerEntry:
    return WorkerEntry(
        name=worker.name,
        pid=worker.pid,
        sent=worker.sent,
        cpu_percent=worker.cpu_percent,
        cpu_percent_worst=worker.cpu_percent_worst,
        lateness_p99_us=worker.late.percentile(99),
        lateness_max_us=worker.late.percentile(100),
        finished=bool(worker.done),
    )


def _agreement(model: str, job: Job, tally: Tally, server: Sequence[ServerFigures]) -> Agreement:
    """A step of an ensemble is counted for each request to the ensemble."""
    askers = [model, *(name for name, steps in job.steps.items() for step in steps if step == model)]
    counts = [tally.models[name].counts for name in askers]
    client = sum(one["answered"] + one["wrong"] for one in counts)
    unknown = sum(one["unknown"] for one in counts)
    counted = sum(one.requests for one in server if one.model == model)
    agree = client <= counted and (counted <= client + unknown or model in job.inner)
    return Agreement(model=model, client=client, server=counted, agree=agree, unknown=unknown)


def _schedule(scenario: Scenario, settings: Settings, job: Job) -> ScheduleEntry:
    kind = "trace" if scenario.replays else settings.arrivals if job.schedule is not None else "closed"
    stages = () if job.schedule is None else tuple((stage.duration_s, stage.rate_per_s) for stage in job.stages)
    return ScheduleEntry(
        arrivals=kind,
        stages=stages,
        requests=len(job.schedule) if job.schedule is not None else 0,
        duration_s=job.duration_s,
        seed=settings.seed,
        sha256=job.schedule.sha256 if job.schedule is not None else "",
    )


def _model(name: str, tally: Tally) -> ModelFigures:
    model = tally.models[name]
    return ModelFigures(
        model=name,
        sent=model.counts["sent"],
        answered=model.counts["answered"],
        errors=model.counts["errors"],
        items=model.counts["items"],
        response=latency_of(model.response),
        service=latency_of(model.service),
        first_token=latency_of(model.first) if model.first.total else None,
        between_tokens=latency_of(model.between) if model.between.total else None,
        tokens=model.counts["tokens"],
        versions=dict(tally.versions(name)),
    )


def _window(number: int, window: WindowTally, window_s: float) -> Window:
    counts = window.counts
    return Window(
        at_s=number * window_s,
        length_s=window_s,
        offered=counts["offered"],
        sent=counts["sent"],
        answered=counts["answered"],
        completed=counts["completed"],
        errors=counts["errors"],
        dropped=counts["dropped"],
        in_flight=sum(window.in_flight.values()),
        p50_us=window.response.percentile(50),
        p90_us=window.response.percentile(90),
        p99_us=window.response.percentile(99),
        max_us=window.response.percentile(100),
        service_p50_us=window.service.percentile(50),
        service_p99_us=window.service.percentile(99),
        response=window.response.encode(),
        service=window.service.encode(),
        versions={model: dict(versions) for model, versions in window.versions.items()},
        cpu_percent=window.cpu_percent,
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cost(settings: Settings, totals: Totals) -> Cost | None:
    if settings.price_per_hour is None or not totals.items or not totals.achieved_per_s:
        return None
    # Items of a request times requests per second: a closed loop's last answers come after its end.
    per_second = totals.items / totals.answered * totals.achieved_per_s
    return Cost(
        price_per_hour=settings.price_per_hour,
        per_million_inferences=settings.price_per_hour / 3600 / per_second * 1e6,
    )
