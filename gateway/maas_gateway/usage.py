"""What each tenant used, per model and day; and whether it agrees with what Triton counted."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from prometheus_client.parser import text_string_to_metric_families

from maas_core.errors import NotReachable, WrongUse
from maas_gateway.metering import RequestLine

_SUCCESS = "nv_inference_request_success"
_TIMEOUT_S = 10.0
_SIDES = 2
"""Stable and candidate: the comparison sink asks both for each mirrored request."""


@dataclass
class Usage:
    """The requests of one tenant to one model on one day (UTC).

    Attributes:
        succeeded: answered well.
        failed: answered with an error by a server, or by the gateway because none answered.
        refused: by admission; no server saw them.
        unanswered: whose caller went away: a server may have counted them or not.
        items: rows of the successes.
        retries: further attempts, of any outcome.
        server_us: time that servers took for the successes.
    """

    tenant: str
    model: str
    day: date
    succeeded: int = 0
    failed: int = 0
    refused: int = 0
    unanswered: int = 0
    items: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    server_us: int = 0

    def add(self, line: RequestLine) -> None:
        """Counts one request."""
        self.bytes_in += line.bytes_in
        self.bytes_out += line.bytes_out
        self.retries += max(0, line.attempts - 1)
        if line.refused:
            self.refused += 1
        elif line.status == 0 or "DC" in line.flags:
            self.unanswered += 1
        elif line.succeeded:
            self.succeeded += 1
            self.items += line.items
            self.server_us += line.upstream_us
        else:
            self.failed += 1


@dataclass(frozen=True)
class Total:
    """All that was used.

    Attributes:
        rows: by tenant, model and day.
        probes: requests for health and metadata, which no row counts.
    """

    rows: list[Usage]
    probes: int


def sum_up(lines: Iterable[RequestLine]) -> Total:
    """Sums metering lines."""
    rows: dict[tuple[str, str, date], Usage] = {}
    probes = 0
    for line in lines:
        if line.kind == "probe":
            probes += 1
            continue
        day = line.at.date()
        rows.setdefault((line.tenant, line.model, day), Usage(line.tenant, line.model, day)).add(line)
    return Total([rows[key] for key in sorted(rows)], probes)


def triton_successes(metrics_url: str) -> dict[str, int]:
    """Triton's own count of successful requests by model, all versions together, since it started.

    Raises:
        NotReachable: nothing answers there.
        WrongUse: the URL is none of HTTP.
    """
    if not metrics_url.startswith(("http://", "https://")):
        raise WrongUse(f"{metrics_url} is not an HTTP address", "give http://HOST:PORT/metrics")
    try:
        with urllib.request.urlopen(metrics_url, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # the scheme was checked
            text = answer.read().decode()
    except OSError as error:
        raise NotReachable(f"{metrics_url} does not answer: {error}", "is the server running?") from error
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == _SUCCESS else ():
            model = sample.labels["model"]
            found[model] = found.get(model, 0) + int(sample.value)
    return found


@dataclass(frozen=True)
class Agreement:
    """What the gateway and Triton counted of one model.

    Attributes:
        metered: successes by the metering lines.
        counted: successes by Triton, from one reading of its metrics to another.
        beside: what Triton may have counted besides: retries, requests whose caller went away, and mirrored ones, of
            which each server was asked once more.
    """

    model: str
    metered: int
    counted: int
    beside: int

    @property
    def agrees(self) -> bool:
        """Whether every success is explained."""
        return self.metered <= self.counted <= self.metered + self.beside


def agreements(
    total: Total, mirrored: dict[str, int], before: dict[str, int], after: dict[str, int]
) -> list[Agreement]:
    """Compares, for each model that was called and that Triton knows.

    Args:
        total: the metering lines, summed.
        mirrored: mirrored requests by model.
        before: Triton's successes by model when the first of the lines was written.
        after: the same after the last.
    """
    found = []
    for model in sorted({row.model for row in total.rows} & after.keys()):
        rows = [row for row in total.rows if row.model == model]
        beside = sum(row.retries + row.unanswered for row in rows) + _SIDES * mirrored.get(model, 0)
        counted = after[model] - before.get(model, 0)
        found.append(Agreement(model, sum(row.succeeded for row in rows), counted, beside))
    return found
