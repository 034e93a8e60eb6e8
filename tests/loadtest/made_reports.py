"""Reports with figures that are known beforehand, as a load test would have written them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from maas_loadtest.histogram import Counts, encode, latency_of, sparse
from maas_loadtest.report_model import (
    Agreement,
    BatchSize,
    Check,
    Cost,
    ErrorEntry,
    InputEntry,
    Latency,
    LoadReport,
    ModelFigures,
    ObjectiveEntry,
    ScenarioEntry,
    ScheduleEntry,
    ServerFigures,
    ServerWindow,
    StageFigures,
    Status,
    TargetEntry,
    Totals,
    Verdict,
    Window,
    WorkerEntry,
)

Latencies = npt.NDArray[np.int64]
WAITED_US = 300
_MADE: dict[str, LoadReport] = {}


@dataclass(frozen=True)
class Made:
    """What a made report shall say; the rest follows.

    Attributes:
        scale: factor on all latencies.
        spread: of the logarithm of the latencies.
        errors_each: failed requests in each window.
        version_from: window from which on version 2 answers.
    """

    windows: int = 30
    per_window: int = 200
    median_us: float = 4000.0
    spread: float = 0.3
    scale: float = 1.0
    seed: int = 7
    errors_each: int = 0
    dropped_each: int = 0
    version_from: int = 10**9
    status: Status = Status.VALID
    reasons: tuple[str, ...] = ()
    rate_per_s: float = 200.0
    scenario: str = "server"
    machine: str = "A processor, 2 cores, Linux x86_64"
    stages: tuple[StageFigures, ...] = ()
    price_per_hour: float | None = None
    objective: str = "p99=20ms,errors=0.1%"
    model: str = "digits_cnn"
    error_message: str = "the server said: out of memory"
    settings: dict[str, Any] = field(default_factory=lambda: {"rate": 200.0})

    def latencies_us(self) -> list[Latencies]:
        """[per_window] for each window."""
        random = np.random.default_rng(self.seed)
        return [
            (self.scale * self.median_us * random.lognormal(0.0, self.spread, self.per_window)).astype(np.int64)
            for _ in range(self.windows)
        ]

    def report(self) -> LoadReport:
        """The whole of it; made once."""
        if repr(self) not in _MADE:
            _MADE[repr(self)] = self._make()
        return _MADE[repr(self)]

    def _make(self) -> LoadReport:
        each = self.latencies_us()
        response = _latency(np.concatenate(each))
        service = _latency(np.concatenate(each) - WAITED_US)
        answered, errors = self.windows * self.per_window, self.windows * self.errors_each
        dropped = self.windows * self.dropped_each
        sent = answered + errors
        return LoadReport(
            scenario=ScenarioEntry(
                name=self.scenario,
                question="Does the server hold its objective under requests that arrive at random?",
                pass_rule="The objective holds and the measurement is valid.",  # noqa: S106  # a rule, no password
                loop="open",
            ),
            verdict=Verdict(status=self.status, reasons=self.reasons, checks=self._checks()),
            objective=ObjectiveEntry(text=self.objective, source="--slo") if self.objective else None,
            started_at="2026-11-22T09:00:00Z",
            duration_s=float(self.windows),
            interrupted=False,
            command="maas load run server --model digits_cnn --rate 200",
            settings=self.settings,
            seed=self.seed,
            target=TargetEntry(url="grpc://127.0.0.1:8001", protocol="grpc", server="triton", server_version="2.51.0"),
            schedule=ScheduleEntry(
                arrivals="poisson",
                stages=((float(self.windows), self.rate_per_s),),
                requests=sent + dropped,
                duration_s=float(self.windows),
                seed=self.seed,
                sha256="5e" * 32,
            ),
            inputs=(
                InputEntry(
                    model=self.model, source="golden", distinct=8, items_per_request=1.0, weight=1.0, sha256="ab" * 32
                ),
            ),
            totals=Totals(
                scheduled=sent + dropped,
                sent=sent,
                answered=answered,
                errors=errors,
                dropped=dropped,
                delayed=0,
                lateness_limit_us=1000,
                checked=60,
                wrong=0,
                items=answered,
                bytes_sent=answered * 3200,
                bytes_received=answered * 120,
                offered_per_s=(sent + dropped) / self.windows,
                achieved_per_s=answered / self.windows,
            ),
            response=response,
            service=service,
            lateness=_latency(np.full(answered, 40, np.int64)),
            models=(
                ModelFigures(
                    model=self.model,
                    sent=sent,
                    answered=answered,
                    errors=errors,
                    items=answered,
                    response=response,
                    service=service,
                    versions=self._versions(each),
                ),
            ),
            errors=(
                (ErrorEntry(model=self.model, kind="status", message=self.error_message, count=errors, first_at_s=0.5),)
                if errors
                else ()
            ),
            windows=tuple(self._window(number, part) for number, part in enumerate(each)),
            stages=self.stages,
            server=(self._server(answered, errors),),
            server_windows=tuple(self._server_window(number) for number in range(self.windows)),
            agreement=(Agreement(model=self.model, client=sent, server=sent, agree=True),),
            workers=(
                WorkerEntry(
                    name="worker-1",
                    pid=4242,
                    sent=sent,
                    cpu_percent=31.0,
                    cpu_percent_worst=44.0,
                    lateness_p99_us=90,
                    lateness_max_us=800,
                    finished=True,
                ),
            ),
            machine=self.machine,
            versions={"triton-maas": "0.1.0", "locust": "2.47.0", "python": "3.11.2"},
            cost=self._cost(answered / self.windows),
        )

    def _checks(self) -> tuple[Check, ...]:
        return (
            Check(name="duration", wanted="≥ 10 s", got=f"{self.windows} s", held=True, concerns="validity"),
            Check(
                name="dropped",
                wanted="= 0",
                got=str(self.dropped_each * self.windows),
                held=not self.dropped_each,
                concerns="validity",
            ),
            Check(
                name="p99", wanted="≤ 20 ms", got="9.1 ms", held=self.status != Status.SLO_FAILED, concerns="objective"
            ),
        )

    def _versions(self, each: Sequence[Latencies]) -> dict[str, int]:
        first = min(self.version_from, len(each)) * self.per_window
        return (
            {"1": first, "2": len(each) * self.per_window - first}
            if first < len(each) * self.per_window
            else {"1": first}
        )

    def _window(self, number: int, latencies_us: Latencies) -> Window:
        p50, p90, p99 = (int(value) for value in np.percentile(latencies_us, [50, 90, 99]))
        version = "2" if number >= self.version_from else "1"
        return Window(
            at_s=float(number),
            length_s=1.0,
            offered=self.per_window + self.errors_each + self.dropped_each,
            sent=self.per_window + self.errors_each,
            answered=self.per_window,
            completed=self.per_window,
            errors=self.errors_each,
            dropped=self.dropped_each,
            in_flight=2,
            p50_us=p50,
            p90_us=p90,
            p99_us=p99,
            max_us=int(latencies_us.max()),
            service_p50_us=p50 - WAITED_US,
            service_p99_us=p99 - WAITED_US,
            response=_encoded(latencies_us),
            service=_encoded(latencies_us - WAITED_US),
            versions={self.model: {version: self.per_window}},
            cpu_percent=31.0,
        )

    def _server(self, answered: int, failed: int) -> ServerFigures:
        return ServerFigures(
            model=self.model,
            version="1",
            requests=answered,
            failed=failed,
            inferences=answered,
            executions=answered // 2,
            queue_us=350.0,
            compute_input_us=40.0,
            compute_infer_us=2100.0 * self.scale,
            compute_output_us=25.0,
            request_us=2600.0 * self.scale,
            cache_hits=0,
            batch_sizes=tuple(
                BatchSize(size=size, executions=count, compute_us=900.0 * size)
                for size, count in ((1, 900), (2, 1500), (3, 400), (8, 200))
            ),
        )

    def _server_window(self, number: int) -> ServerWindow:
        return ServerWindow(
            at_s=float(number),
            length_s=1.0,
            model=self.model,
            version="1",
            requests=self.per_window,
            queue_us=350.0 + 20 * (number % 5),
            compute_input_us=40.0,
            compute_infer_us=2100.0 * self.scale,
            compute_output_us=25.0,
            mean_batch=2.0,
            batch_sizes={1: 40, 2: 80},
        )

    def _cost(self, per_s: float) -> Cost | None:
        if self.price_per_hour is None:
            return None
        return Cost(price_per_hour=self.price_per_hour, per_million_inferences=self.price_per_hour / per_s / 3600 * 1e6)


def _latency(values_us: Latencies) -> Latency:
    counts = Counts()
    counts.add(sparse(values_us))
    return latency_of(counts)


def _encoded(values_us: Latencies) -> str:
    counts = Counts()
    counts.add(sparse(values_us))
    return encode(counts.histogram())
