"""The part of a run that is done once: plan, start, watch, conclude. It sends no load itself.

Its partner is :mod:`maas_loadtest.generator`, where the messages between them are listed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import click
import gevent

from maas_core.errors import ExitCode
from maas_loadtest.arrivals import MAX_REQUESTS
from maas_loadtest.job import Job, make_job
from maas_loadtest.prepared import to_message
from maas_loadtest.report_builder import Observed, agreements, build_report
from maas_loadtest.report_files import check_writable, write_report
from maas_loadtest.scenario import Scenario
from maas_loadtest.server_figures import Snapshot, Statistics, StatisticsFailed, snapshot, statistics_of
from maas_loadtest.settings import Settings
from maas_loadtest.tally import Tally

_LOG = logging.getLogger(__name__)
_BEGIN_IN_S = 0.3
_POLL_S = 0.1
_LOST_AFTER_S = 5.0
"""After Locust has missed a worker's heartbeat, which takes it four seconds."""
_READY_MARGIN_S = 60.0
_DRAIN_MARGIN_S = 10.0
_MOST_WINDOWS = 600
_SETTLE_POLLS = 20
"""Triton counts a request shortly after it has answered it."""


class Crew(Protocol):
    """The workers."""

    def names(self) -> list[str]:
        """Of those that are there."""

    def send(self, name: str, data: Any, worker: str | None = None) -> None:
        """A message to one worker, or to all."""


class Coordinator:
    """One run after another of one scenario.

    Args:
        scenario: what runs.
        settings: how.
        crew: who sends.
        tell: gets events: ``planned``, ``progress``, ``report`` and ``failed``.
    """

    def __init__(
        self, scenario: Scenario, settings: Settings, crew: Crew, tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self._scenario = scenario
        self._settings = settings
        self._crew = crew
        self._tell = tell
        self._job: Job | None = None
        self._run: gevent.Greenlet | None = None
        self._tally = Tally()
        self._snapshots: list[tuple[float, Snapshot]] = []
        self._statistics: Statistics | None = None
        self._statistics_note = ""
        self._began_at = 0.0
        self._started_at = ""
        self._window_s = 1.0
        self._is_over = False
        self.exit_code: int = ExitCode.NOT_VALID

    def users_wanted(self) -> int | None:
        """How many users Locust is to run; None when the run is over."""
        if self._is_over:
            return None
        return self._settings.callers if self._scenario.loop == "closed" else max(1, len(self._crew.names()))

    def start(self) -> None:
        """Plans the run and tells the workers; called when Locust starts a test, before there are users."""
        self._tally = Tally()
        self._snapshots = []
        self._began_at = 0.0
        self._started_at = ""
        self._is_over = False
        try:
            check_writable(self._settings.report)
            self._job = make_job(self._scenario, self._settings)
        except click.ClickException as error:
            # 1 is for an objective that was measured and is not held: a gate must not take a damaged bundle for that.
            is_bundle = error.exit_code == ExitCode.NOT_HELD
            self._fail(error.format_message(), ExitCode.WRONG_USE if is_bundle else error.exit_code)
            return
        self._statistics = statistics_of(self._job.endpoint, self._job.headers)
        names = self._crew.names()
        self._window_s = max(1.0, math.ceil(self._job.duration_s / _MOST_WINDOWS))
        self._tell(
            {
                "event": "planned",
                "scenario": self._scenario.name,
                "models": self._job.models,
                "duration_s": self._job.duration_s,
                "requests": len(self._job.schedule) if self._job.schedule else 0,
                "warmup_s": self._settings.warmup,
                "drain_s": self._drain_s(self._job),
            }
        )
        for index, name in enumerate(names):
            self._tally.worker(name).seen_at = time.monotonic()
            self._crew.send("load_plan", self._plan(self._job, index, len(names)), name)
        self._run = gevent.spawn(self._conduct_safely, self._job)

    def on_message(self, name: str, worker: str, data: Mapping[str, Any]) -> None:
        """A message of a worker."""
        one = self._tally.worker(worker)
        if name == "load_ready":
            one.ready += 1
            one.pid = data["pid"]
        elif name == "load_part":
            self._tally.add(worker, data)
        elif name == "load_done":
            one.done += 1
            one.gap_error_us = data["gap_error_us"]

    def stop(self) -> None:
        """Locust stops the test: a run that is not over ends here, with what there is."""
        if not self._is_over and self._job is not None:
            if self._run is not None:
                # It would go on with the next test on Locust's page, and conclude a second time.
                self._run.kill()
            self._take_snapshot(self._job)
            # Locust itself stops a test whose workers are all gone.
            gone = set(self._tally.workers) - set(self._crew.names())
            self._conclude(self._job, f"lost the worker {', '.join(sorted(gone))}" if gone else "interrupted")

    def rearm(self) -> None:
        """The test is over for Locust too: on its page another one may be started."""
        self._is_over = False
        self._job = None

    def _plan(self, job: Job, index: int, count: int) -> dict[str, Any]:
        settings = self._settings
        plan: dict[str, Any] = {
            "index": index,
            "url": str(job.endpoint),
            "is_grpc": job.endpoint.is_grpc,
            "protocol": job.target.protocol,
            "headers": [list(pair) for pair in job.headers],
            "timeout_s": settings.timeout,
            "duration_s": job.duration_s,
            "window_s": self._window_s,
            "warmup_s": settings.warmup,
            "warm_every_s": count / max(1.0, job.stages[0].rate_per_s),
            "in_flight": max(1, settings.in_flight // count),
            "seed": settings.seed,
            "check_share": settings.check_share,
            "most_requests": MAX_REQUESTS // count,
            "prepared": [to_message(one) for one in job.prepared],
        }
        if job.schedule is not None:
            part = job.schedule.part(index, count)
            plan["at_ns"] = part.at_ns.astype("<i8").tobytes()
            plan["request"] = part.request.astype("<i4").tobytes()
            plan["checked"] = part.checked.astype("|b1").tobytes()
        return plan

    def _conduct_safely(self, job: Job) -> None:
        """A fault of our own must end the run as well: nobody else would, and the load would go on."""
        try:
            self._conduct(job)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told, logged, and the run ends
            _LOG.exception("the run failed")
            self._fail(f"the run failed: {type(error).__name__}: {error}", ExitCode.NOT_VALID)

    def _conduct(self, job: Job) -> None:
        """From the warm-up to the last answer."""
        users = self._users(len(self._tally.workers))
        if not self._wait(lambda: self._count("ready") >= users, self._settings.warmup + _READY_MARGIN_S):
            self._conclude(job, "a worker did not become ready")
            return
        self._take_snapshot(job)
        # Requests of the warm-up may be counted shortly after their answers.
        self._settle(job)
        del self._snapshots[:-1]
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._began_at = time.monotonic() + _BEGIN_IN_S
        self._crew.send("load_begin", {"in_s": _BEGIN_IN_S})
        watcher = gevent.spawn(self._watch, job)
        try:
            in_time = self._wait(lambda: self._count("done") >= users, job.duration_s + self._drain_s(job))
        finally:
            watcher.kill()
        self._settle(job)
        lost = [name for name, worker in self._tally.workers.items() if worker.lost]
        why = f"lost the worker {', '.join(lost)}" if lost else "requests that did not end"
        self._conclude(job, "" if in_time else why)

    def _drain_s(self, job: Job) -> float:
        """How long the last requests may take."""
        return self._settings.timeout * max(len(one.wires) for one in job.prepared) + _DRAIN_MARGIN_S

    def _users(self, workers: int) -> int:
        return self._settings.callers if self._scenario.loop == "closed" else workers

    def _count(self, name: str) -> int:
        return sum(getattr(worker, name) for worker in self._tally.workers.values())

    def _wait(self, is_reached: Callable[[], bool], limit_s: float) -> bool:
        """Until it is so; False where time is over, a worker is lost, or the run was ended."""
        end = time.monotonic() + limit_s
        while not is_reached():
            self._look_for_lost_workers()
            if self._is_over or time.monotonic() > end or any(one.lost for one in self._tally.workers.values()):
                return False
            gevent.sleep(_POLL_S)
        return True

    def _look_for_lost_workers(self) -> None:
        """A worker that is only slow comes back; one that has done its part may leave."""
        present, now = set(self._crew.names()), time.monotonic()
        for name, worker in self._tally.workers.items():
            if name in present or worker.done:
                worker.seen_at = now
            worker.lost = worker.lost or now - worker.seen_at > _LOST_AFTER_S

    def _watch(self, job: Job) -> None:
        """Once a window: the server's counters, and how far the run is."""
        while True:
            gevent.sleep(self._window_s)
            self._take_snapshot(job)
            self._tell(self._progress())

    def _progress(self) -> dict[str, Any]:
        """The last window that is complete; of all windows the counts."""
        elapsed_s = time.monotonic() - self._began_at
        # Parts come once a second: the window before the last one is known to all.
        number = max(0, int(elapsed_s / self._window_s) - 2)
        window = self._tally.windows[number]
        return {
            "event": "progress",
            "at_s": elapsed_s,
            "offered_per_s": window.counts["offered"] / self._window_s,
            "answered_per_s": window.counts["completed"] / self._window_s,
            "p50_us": window.response.percentile(50),
            "p99_us": window.response.percentile(99),
            "answered": self._tally.total("answered"),
            "errors": self._tally.total("errors"),
            "dropped": self._tally.total("dropped"),
            "in_flight": sum(window.in_flight.values()),
            "cpu_percent": window.cpu_percent,
        }

    def _take_snapshot(self, job: Job) -> None:
        """Of a server that is too busy to tell, a part of the time line is missing; the last snapshot must be there."""
        assert self._statistics is not None  # noqa: S101  # made with the plan
        try:
            counters = snapshot(self._statistics, job.models)
        except StatisticsFailed as error:
            self._statistics_note = str(error)
            return
        self._statistics_note = ""
        self._snapshots.append((max(0.0, time.monotonic() - self._began_at) if self._began_at else 0.0, counters))

    def _settle(self, job: Job) -> None:
        """The last snapshot is one after which no request of before is counted."""
        if not self._snapshots:
            return
        before = len(self._snapshots)
        for _ in range(_SETTLE_POLLS):
            # Two snapshots of the moment of the last answer may both come before it is counted.
            gevent.sleep(_POLL_S)
            self._take_snapshot(job)
            last_two = [counters for _, counters in self._snapshots[before:][-2:]]
            is_quiet = len(last_two) > 1 and last_two[0] == last_two[1] and not self._statistics_note
            if is_quiet and all(one.client <= one.server for one in agreements(job, self._tally, self._snapshots)):
                return

    def _conclude(self, job: Job, why_ended: str) -> None:
        if self._is_over:
            return
        observed = Observed(
            tally=self._tally,
            # Without the last one the others tell of a part of the requests.
            snapshots=[] if self._statistics_note else self._snapshots,
            statistics_note=self._statistics_note,
            started_at=self._started_at or datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=max(0.0, time.monotonic() - self._began_at) if self._began_at else 0.0,
            window_s=self._window_s,
            why_ended=why_ended,
        )
        report = build_report(self._scenario, self._settings, job, observed)
        try:
            path = write_report(report, self._settings.report)
        except click.ClickException as error:
            self._fail(error.format_message(), error.exit_code)
            return
        self.exit_code = report.verdict.status.exit_code
        self._tell(
            {
                "event": "report",
                "path": str(path),
                "status": report.verdict.status,
                "reasons": list(report.verdict.reasons),
            }
        )
        self._is_over = True

    def _fail(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        self._tell({"event": "failed", "message": message, "exit_code": int(exit_code)})
        self._is_over = True
