"""The page of one load test."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from maas_core.files import write_atomic
from maas_loadtest.html_report import units
from maas_loadtest.html_report.charts import all_figures, breakdown
from maas_loadtest.html_report.page import Cell, Table, Tile, Toned, held, render
from maas_loadtest.report_model import LoadReport, Percentile, Status

MEANING = {
    Status.VALID: "The measurement is valid, and every objective that was set is held.",
    Status.SLO_FAILED: "The measurement is valid; the server does not hold its objective.",
    Status.INVALID: "The measurement says nothing about the server: its figures must not be quoted.",
}
TONE = {Status.VALID: "good", Status.SLO_FAILED: "bad", Status.INVALID: "warn"}
HTML_FILE = "report.html"
_TILE_PERCENTS = (50.0, 99.0, 99.9)


def write_report_html(report: LoadReport, folder: Path) -> Path:
    """Writes ``report.html`` into ``folder``; its path.

    Raises:
        OSError: the file cannot be written.
    """
    path = folder / HTML_FILE
    write_atomic(path, report_html(report))
    return path


def report_html(report: LoadReport) -> str:
    """One self-contained HTML file."""
    return render(
        "report.html",
        title=f"Load test: {report.scenario.name}",
        subtitle=subtitle(report),
        report=report,
        tone=TONE[report.verdict.status],
        meaning=MEANING[report.verdict.status],
        tiles=list(_tiles(report)),
        figures=all_figures(report),
        percentiles=_percentiles(report),
        breakdowns=list(_breakdowns(report)),
        tables=[entry for entry in _tables(report) if entry[1].rows],
        run=list(_run(report)),
        machine=list(_machine(report)),
    )


def subtitle(report: LoadReport) -> str:
    """What was loaded, how and when, in one line."""
    names = ", ".join(entry.model for entry in report.inputs)
    how = f"{report.schedule.arrivals} arrivals" if report.scenario.loop == "open" else "closed loop"
    return f"{names} over {report.target.protocol} at {report.target.url}, {how}, {report.started_at}"


def _tiles(report: LoadReport) -> Iterator[Tile]:
    totals = report.totals
    for entry in report.response.percentiles:
        if entry.percent in _TILE_PERCENTS:
            more = "response time" if entry.supported else _unsupported(entry, report.response.count)
            yield Tile(
                units.percent_name(entry.percent),
                units.latency(entry.latency_us),
                more,
                "" if entry.supported else "dim",
            )
    kept = totals.achieved_per_s / totals.offered_per_s if totals.offered_per_s else None
    more = f"of {units.rate(totals.offered_per_s)} offered ({units.share(kept)})" if kept is not None else "per second"
    yield Tile("answered per second", units.rate(totals.achieved_per_s), more)
    share = totals.errors / totals.sent if totals.sent else 0.0
    wrong = f"{totals.wrong:,} wrong of {totals.checked:,} compared"
    yield Tile("errors", f"{totals.errors:,}", f"{units.share(share)} · {wrong}", "bad" if totals.errors else "good")
    tone = "bad" if totals.dropped else "warn" if totals.delayed else "good"
    yield Tile("dropped", f"{totals.dropped:,}", f"{totals.delayed:,} sent late", tone)
    if report.cost is not None:
        price = f"at {units.significant(report.cost.price_per_hour)} an hour"
        yield Tile(
            "cost of a million", units.significant(report.cost.per_million_inferences, 4), f"inferences, {price}"
        )


def _unsupported(entry: Percentile, count: int) -> str:
    return f"no claim: {count:,} of {entry.samples_needed:,} answers"


def _percentiles(report: LoadReport) -> Table:
    service = {entry.percent: entry for entry in report.service.percentiles}
    late = {entry.percent: entry for entry in report.lateness.percentiles}

    def cell(entry: Percentile | None) -> Cell:
        if entry is None:
            return "–"
        text = units.latency(entry.latency_us)
        return text if entry.supported else Toned(text, "dim")

    rows: list[list[Cell]] = [
        [
            units.percent_name(entry.percent),
            cell(entry),
            cell(service.get(entry.percent)),
            cell(late.get(entry.percent)),
            f"{entry.samples_needed:,}" if entry.supported else Toned(f"{entry.samples_needed:,}: too few", "warn"),
        ]
        for entry in report.response.percentiles
    ]
    latencies = (report.response, report.service, report.lateness)
    rows.append(["mean", *(units.latency(entry.mean_us) for entry in latencies), ""])
    rows.append(["slowest", *(units.latency(entry.max_us) for entry in latencies), ""])
    return Table(("", "response time", "service time", "sent late by", "answers needed"), rows)


def _breakdowns(report: LoadReport) -> Iterator[dict[str, Any]]:
    service = {entry.model: entry.service.mean_us for entry in report.models}
    for entry in report.server:
        if not entry.requests:
            continue
        # The models of an ensemble are asked by the server itself: the client knows no time of theirs.
        parts = breakdown(entry, service.get(entry.model, entry.request_us))
        whole = sum(value for _, _, value in parts)
        batches = units.significant(entry.inferences / entry.executions) if entry.executions else "–"
        yield {
            "name": f"{entry.model} version {entry.version}",
            "words": f"Mean of {entry.requests:,} requests: {units.latency(whole)}; "
            f"{entry.executions:,} executions of {batches} rows on average, {entry.cache_hits:,} from the cache.",
            "parts": [
                {"words": words, "style": style, "value": round(value, 1), "text": units.latency(value)}
                for words, style, value in parts
                if value
            ],
        }


def _tables(report: LoadReport) -> Iterator[tuple[str, Table, str]]:
    yield "Conditions of the verdict", _checks(report), ""
    yield "Errors", _errors(report), ""
    yield "Models", _models(report), ""
    yield "Stages", _stages(report), ""
    yield (
        "Counted by client and by server",
        Table(
            ("model", "client", "server", ""),
            [[entry.model, f"{entry.client:,}", f"{entry.server:,}", held(entry.agree)] for entry in report.agreement],
        ),
        "Where they differ, somebody else called the model, or answers were lost.",
    )
    yield "Load generator", _workers(report), ""
    yield "Inputs", _inputs(report), ""


def _checks(report: LoadReport) -> Table:
    rows: list[Sequence[Cell]] = [
        [check.name, check.concerns, check.wanted, check.got, held(check.held)] for check in report.verdict.checks
    ]
    return Table(("condition", "of the", "wanted", "got", ""), rows, numbers_from=5)


def _errors(report: LoadReport) -> Table:
    rows = [
        [entry.model, entry.kind, entry.message, f"{entry.count:,}", f"{units.significant(entry.first_at_s)} s"]
        for entry in report.errors
    ]
    return Table(("model", "kind", "message", "how often", "first at"), rows, numbers_from=3)


def _models(report: LoadReport) -> Table:
    head = ["model", "versions that answered", "sent", "errors", "items", "p50", "p99", "p99.9"]
    streams = any(entry.first_token is not None for entry in report.models)
    head += ["first token p99", "between tokens p99", "tokens"] if streams else []
    rows = []
    for entry in report.models:
        by_percent = {one.percent: one.latency_us for one in entry.response.percentiles}
        versions = ", ".join(f"{version} ({count:,})" for version, count in entry.versions.items()) or "none"
        row = [entry.model, versions, f"{entry.sent:,}", f"{entry.errors:,}", f"{entry.items:,}"]
        row += [units.latency(by_percent.get(percent)) for percent in _TILE_PERCENTS]
        if streams:
            row += [_p99(entry.first_token), _p99(entry.between_tokens), f"{entry.tokens:,}"]
        rows.append(row)
    return Table(head, rows, numbers_from=2)


def _p99(latency: Any) -> str:
    if latency is None:
        return "–"
    return units.latency(next((one.latency_us for one in latency.percentiles if one.percent == 99.0), None))


def _stages(report: LoadReport) -> Table:
    rows: list[Sequence[Cell]] = [
        [
            Toned(f"{units.significant(stage.at_s)} s, knee", "good")
            if stage.knee
            else f"{units.significant(stage.at_s)} s",
            units.rate(stage.offered_per_s),
            units.rate(stage.achieved_per_s),
            units.latency(stage.p50_us),
            units.latency(stage.p99_us),
            f"{stage.errors:,}",
            f"{stage.dropped:,}",
        ]
        for stage in report.stages
    ]
    return Table(("from", "offered/s", "answered/s", "p50", "p99", "errors", "dropped"), rows)


def _workers(report: LoadReport) -> Table:
    rows: list[Sequence[Cell]] = [
        [
            f"{entry.name} (process {entry.pid})",
            f"{entry.sent:,}",
            f"{entry.cpu_percent:.0f} %",
            f"{entry.cpu_percent_worst:.0f} %",
            units.latency(entry.lateness_p99_us),
            Toned("finished", "good") if entry.finished else Toned("did not finish", "bad"),
        ]
        for entry in report.workers
    ]
    return Table(("worker", "sent", "of one core", "at worst", "p99 late by", ""), rows)


def _inputs(report: LoadReport) -> Table:
    rows = [
        [
            entry.model,
            entry.source,
            entry.sha256[:16],
            f"{entry.distinct:,}",
            units.significant(entry.items_per_request),
            units.significant(entry.weight),
        ]
        for entry in report.inputs
    ]
    return Table(("model", "from", "SHA-256 (begins)", "different requests", "items each", "weight"), rows, 3)


def _run(report: LoadReport) -> Iterator[tuple[str, str]]:
    schedule = report.schedule
    yield "command", report.command
    yield "seed", str(report.seed)
    yield (
        "schedule",
        f"{schedule.arrivals}, {schedule.requests:,} requests in {units.significant(schedule.duration_s)} s",
    )
    if schedule.stages:
        shown = ", ".join(
            f"{units.rate(rate)}/s for {units.significant(length_s)} s" for length_s, rate in schedule.stages
        )
        yield "stages", shown
    yield "SHA-256 of the schedule", schedule.sha256
    if report.objective is not None:
        yield "objective", f"{report.objective.text} (from {report.objective.source})"
    yield "pass rule", report.scenario.pass_rule
    yield "settings", json.dumps(report.settings, sort_keys=True)


def _machine(report: LoadReport) -> Iterator[tuple[str, str]]:
    yield "machine", report.machine
    yield "server", f"{report.target.server} {report.target.server_version}"
    yield "measured", f"{units.significant(report.duration_s)} s from {report.started_at}"
    traffic = f"{units.size(report.totals.bytes_sent)} sent, {units.size(report.totals.bytes_received)} received"
    yield "traffic", traffic
    yield from report.versions.items()
