"""``report.json``: all that one load test found, in a form that other programs read.

The JSON schema is :func:`report_schema`. Times are seconds since the measurement began, latencies are microseconds.
Histograms are HdrHistograms (1 µs to 1 h, three significant digits) in their own base64 format V2, so that percentiles
of several reports can be merged and recomputed: :mod:`maas_loadtest.histogram` reads them.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from maas_core.errors import ExitCode, WrongUse, first_problem
from maas_loadtest.report_server import Agreement as Agreement
from maas_loadtest.report_server import BatchSize as BatchSize
from maas_loadtest.report_server import Record
from maas_loadtest.report_server import ServerFigures as ServerFigures
from maas_loadtest.report_server import ServerWindow as ServerWindow

REPORT_FILE = "report.json"
SCHEMA_VERSION = 1


class Status(StrEnum):
    """What may be concluded."""

    VALID = "VALID"
    INVALID = "INVALID"
    """The measurement says nothing: look at the reasons."""
    SLO_FAILED = "SLO_FAILED"
    """A valid measurement of a server that does not hold its objective."""

    @property
    def exit_code(self) -> ExitCode:
        """What ``maas load run`` ends with."""
        return {
            Status.VALID: ExitCode.DONE,
            Status.INVALID: ExitCode.NOT_VALID,
            Status.SLO_FAILED: ExitCode.NOT_HELD,
        }[self]


class ScenarioEntry(Record):
    """What was asked.

    Attributes:
        question: the first line of the scenario's docstring.
        pass_rule: what must hold, in the scenario's own words.
        loop: ``open``: requests are sent at scheduled moments, whatever the server does; ``closed``: each caller waits
            for its answer before it sends the next, so that a slow server is asked less.
    """

    name: str
    question: str
    pass_rule: str
    loop: Literal["open", "closed"]


class ScheduleEntry(Record):
    """The plan that was fixed before the first request; same seed and parameters, same SHA-256.

    Attributes:
        arrivals: ``poisson``, ``constant``, ``gamma``, ``trace``, ``at_once``; ``closed`` where there is no schedule.
        stages: pairs of (seconds, requests per second) that follow each other; one pair for a constant rate.
        requests: how many were planned; 0 in a closed loop.
        sha256: over the scheduled moments (ns) and the requests sent at them.
    """

    arrivals: str
    stages: tuple[tuple[float, float], ...]
    requests: int
    duration_s: float
    seed: int
    sha256: str


class TargetEntry(Record):
    """Where the load went."""

    url: str
    protocol: Literal["http", "grpc"]
    server: str
    server_version: str


class InputEntry(Record):
    """What was sent.

    Attributes:
        source: ``golden``, ``files``, ``generated`` or ``trace``.
        distinct: how many different requests took turns.
        items_per_request: mean batch size of them.
        sha256: over the requests' bytes in order.
    """

    model: str
    source: str
    distinct: int
    items_per_request: float
    weight: float
    sha256: str


class Check(Record):
    """One condition of the verdict, held or not.

    Attributes:
        name: e.g. ``dropped``.
        wanted: in words, e.g. ``= 0``.
        got: in words, e.g. ``17``.
        concerns: ``validity`` of the measurement, or the ``objective`` of the server.
    """

    name: str
    wanted: str
    got: str
    held: bool
    concerns: Literal["validity", "objective"]


class Verdict(Record):
    """The conclusion with every reason against it, not only the first."""

    status: Status
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]


class ObjectiveEntry(Record):
    """The service-level objective that was judged; ``source`` is ``--slo`` or the model's manifest."""

    text: str
    source: str


class Percentile(Record):
    """One percentile.

    Attributes:
        percent: e.g. 99.9.
        latency_us: None where nothing was answered.
        samples_needed: the least number of answers for any claim: the minimum of LoadGen's early stopping.
        supported: whether there were so many.
    """

    percent: float
    latency_us: int | None
    samples_needed: int
    supported: bool


class Latency(Record):
    """A distribution of times, successful requests only."""

    count: int
    mean_us: float
    min_us: int
    max_us: int
    percentiles: tuple[Percentile, ...]
    histogram: str


class Totals(Record):
    """What became of the requests.

    Attributes:
        scheduled: by the schedule up to the end of the measurement; in a closed loop those that were sent.
        sent: begun; ``scheduled - sent`` are ``dropped`` or, after an interruption, never came up.
        answered: right answers, as far as they were compared.
        errors: sent and not answered, answered with an error, or answered wrongly.
        dropped: not sent because as many as allowed were under way.
        delayed: sent later than ``lateness_limit_us`` after the scheduled moment.
        checked: answers that were compared with golden outputs, ``wrong`` of them differed (they are errors, too).
        items: inferences: the batch sizes of the answered requests added up.
        offered_per_s: scheduled requests per second of the planned duration.
        achieved_per_s: answered requests per second until the last answer.
    """

    scheduled: int
    sent: int
    answered: int
    errors: int
    dropped: int
    delayed: int
    lateness_limit_us: int
    checked: int
    wrong: int
    items: int
    bytes_sent: int
    bytes_received: int
    offered_per_s: float
    achieved_per_s: float


class ErrorEntry(Record):
    """One kind of failure.

    Attributes:
        kind: ``unreachable``, ``timeout``, ``status``, ``wrong_answer``, ``protocol``.
    """

    model: str
    kind: str
    message: str
    count: int
    first_at_s: float


class Window(Record):
    """One part of the time line. A request counts in the window of its scheduled moment (closed loop: of its send).

    Attributes:
        offered: scheduled for this window, dropped ones included.
        completed: answers that *arrived* in this window, whenever they were scheduled: the throughput.
        in_flight: requests under way at its end, all workers together.
        response: histogram of the response times, ``service`` of the service times; empty text where there are none.
        versions: answers by model and version, ``{"digits_cnn": {"1": 200}}``.
        cpu_percent: of the busiest worker, of one core.
    """

    at_s: float
    length_s: float
    offered: int
    sent: int
    answered: int
    completed: int
    errors: int
    dropped: int
    in_flight: int
    p50_us: int | None
    p90_us: int | None
    p99_us: int | None
    max_us: int | None
    service_p50_us: int | None
    service_p99_us: int | None
    response: str
    service: str
    versions: dict[str, dict[str, int]]
    cpu_percent: float


class ModelFigures(Record):
    """One model's part of the load.

    Attributes:
        response: from the scheduled moment (in a closed loop from the send) to the whole answer.
        service: from the send to the whole answer.
        first_token: of a decoupled model: from the scheduled moment to the first answer of the stream.
        between_tokens: of a decoupled model: between two answers of one stream.
        versions: answers by version.
    """

    model: str
    sent: int
    answered: int
    errors: int
    items: int
    response: Latency
    service: Latency
    first_token: Latency | None = None
    between_tokens: Latency | None = None
    tokens: int = 0
    versions: dict[str, int]


class WorkerEntry(Record):
    """One process of the generator.

    Attributes:
        cpu_percent: mean of the measured time, of one core; ``cpu_percent_worst`` of the worst window.
        lateness_p99_us: how late requests were sent after their scheduled moment.
        finished: False where it died or was stopped.
    """

    name: str
    pid: int
    sent: int
    cpu_percent: float
    cpu_percent_worst: float
    lateness_p99_us: int | None
    lateness_max_us: int | None
    finished: bool


class StageFigures(Record):
    """One stage of a schedule of several (ramp, spike): what was offered and how it was answered.

    ``knee`` marks the last stage of a ramp that kept the objective and the offered rate.
    """

    at_s: float
    length_s: float
    offered_per_s: float
    achieved_per_s: float
    errors: int
    dropped: int
    p50_us: int | None
    p99_us: int | None
    knee: bool = False


class Cost(Record):
    """What inferences cost at the achieved rate on a machine of this price."""

    price_per_hour: float
    per_million_inferences: float


class LoadReport(Record):
    """One load test. ``settings`` are all options as they were used, for the same run again."""

    schema_version: int = SCHEMA_VERSION
    scenario: ScenarioEntry
    verdict: Verdict
    objective: ObjectiveEntry | None
    started_at: str
    duration_s: float
    interrupted: bool
    command: str
    settings: dict[str, Any]
    seed: int
    target: TargetEntry
    schedule: ScheduleEntry
    inputs: tuple[InputEntry, ...]
    totals: Totals
    response: Latency
    service: Latency
    lateness: Latency
    models: tuple[ModelFigures, ...]
    errors: tuple[ErrorEntry, ...]
    windows: tuple[Window, ...]
    stages: tuple[StageFigures, ...] = ()
    server: tuple[ServerFigures, ...]
    server_windows: tuple[ServerWindow, ...]
    server_note: str = ""
    """Why there are no figures of the server, where there are none."""
    agreement: tuple[Agreement, ...]
    workers: tuple[WorkerEntry, ...]
    machine: str
    versions: dict[str, str]
    cost: Cost | None = None


def report_schema() -> dict[str, Any]:
    """The JSON schema of ``report.json``."""
    return LoadReport.model_json_schema()


def read_report(path: Path) -> LoadReport:
    """Reads a report from its file, or from the folder that holds it.

    Raises:
        WrongUse: where it is missing or is none.
    """
    file = path / REPORT_FILE if path.is_dir() else path
    try:
        return LoadReport.model_validate_json(file.read_bytes())
    except OSError as error:
        raise WrongUse(f"{file} cannot be read: {error.strerror}", "name a report of `maas load run`") from error
    except ValidationError as error:
        raise WrongUse(f"{file} is no report of a load test: {first_problem(error, 'its beginning')}") from error
