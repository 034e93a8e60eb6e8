"""The charts of one load test."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from maas_core.service_level import parse_service_level
from maas_loadtest.distribution import read_distribution
from maas_loadtest.html_report import scales, units
from maas_loadtest.html_report.figures import Curve, Figure, figure, histogram_figure, percentile_figure
from maas_loadtest.html_report.svg import Chart, Points, Size
from maas_loadtest.report_model import LoadReport, ServerFigures, Window
from maas_loadtest.time_line import loaded_windows

PHASES = (
    ("queue_us", "queue", "c2"),
    ("compute_input_us", "input", "c6"),
    ("compute_infer_us", "compute", "c3"),
    ("compute_output_us", "output", "c5"),
)
"""Field of the server's figures, what it is called, and its colour."""
_FEWEST_POINTS = 2
"""Of a line."""


def all_figures(report: LoadReport) -> list[Figure]:
    """Those for which the report has anything to show, in the order of the page."""
    makers: Sequence[Callable[[LoadReport], Figure | None]] = (
        _latency_over_time,
        _throughput,
        _histogram,
        _percentiles,
        _stages,
        _server_over_time,
        _batch_sizes_over_time,
        _batch_sizes,
        _versions,
    )
    return [made for make in makers if (made := make(report)) is not None]


def limits_of(objective: str) -> list[tuple[str, float]]:
    """The limits that an objective sets on response times: words and microseconds."""
    limits_ms = parse_service_level(objective).limits_ms
    return [(f"{name} ≤ {units.latency(1e3 * ms)}", 1e3 * ms) for name, ms in limits_ms.items() if name.startswith("p")]


def time_scale(report: LoadReport) -> scales.Scale:
    """From the start of the measurement to the end of its last window."""
    ends = [window.at_s + window.length_s for window in loaded_windows(report)]
    return scales.span(0.0, max(ends, default=report.duration_s), units.significant, "seconds since the start")


def windowed(windows: Sequence[Window], value: Callable[[Window], float | None]) -> Points:
    """One point in the middle of each window."""
    return [(window.at_s + window.length_s / 2, value(window)) for window in windows]


def _latency_over_time(report: LoadReport) -> Figure | None:
    windows = loaded_windows(report)
    if not any(window.p50_us for window in windows):
        return None
    lines: tuple[tuple[str, str, Points], ...] = (
        ("c1", "p50", windowed(windows, lambda window: window.p50_us)),
        ("c2", "p90", windowed(windows, lambda window: window.p90_us)),
        ("c4", "p99", windowed(windows, lambda window: window.p99_us)),
        ("c5", "slowest", windowed(windows, lambda window: window.max_us)),
    )
    service = windowed(windows, lambda window: window.service_p99_us)
    limits = limits_of(report.objective.text) if report.objective else []
    seen = [value for _, _, points in lines for _, value in points] + [value for _, value in service]
    y = scales.fitting([*seen, *(limit for _, limit in limits)], units.latency, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, time_scale(report), y, "Response time over time")
        for words, limit_us in limits:
            chart.rule_y(limit_us, f"objective {words}")
        chart.line(service, "c4", dashed=True)
        for style, words, points in lines:
            chart.line(points, style, words=words)
        return chart

    since = "the scheduled moment" if report.scenario.loop == "open" else "the send (closed loop)"
    note = f"Of each window, from {since} to the whole answer. Dashed: p99 of the service time, from the send."
    legend = [(style, words) for style, words, _ in lines]
    return figure("Response time over time", note, [*legend, ("c4 dashed", "p99 service time")], draw, full=True)


def _throughput(report: LoadReport) -> Figure | None:
    windows = loaded_windows(report)
    if not windows:
        return None
    per_s: tuple[tuple[str, str, Points], ...] = (
        ("c6", "offered", windowed(windows, lambda window: window.offered / window.length_s)),
        ("c3", "answered", windowed(windows, lambda window: window.completed / window.length_s)),
    )
    lost: tuple[tuple[str, str, Points], ...] = (
        ("c4", "errors", windowed(windows, lambda window: window.errors / window.length_s)),
        ("c2", "dropped", windowed(windows, lambda window: window.dropped / window.length_s)),
    )
    shown = [*per_s, *(entry for entry in lost if any(value for _, value in entry[2]))]
    y = scales.linear([value for _, _, points in shown for _, value in points], units.rate, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, time_scale(report), y, "Throughput against offered load")
        for style, words, points in shown:
            chart.line(points, style, words=words)
        return chart

    note = "Requests per second: scheduled in each window, and answered in it, whenever they were scheduled."
    legend = [(style, words) for style, words, _ in shown]
    return figure("Throughput against offered load", note, legend, draw)


def _histogram(report: LoadReport) -> Figure | None:
    response = read_distribution(report.response.histogram)
    if not response.total:
        return None
    marked = [
        (f"{units.percent_name(entry.percent)} {units.latency(entry.latency_us)}", float(entry.latency_us))
        for entry in report.response.percentiles
        if entry.latency_us is not None and entry.percent in {50.0, 99.0, 99.9}
    ]
    note = f"Share of the {response.total:,} right answers; logarithmic axis, bars of equal width on it."
    return histogram_figure([Curve(response, "c1", "response time")], "Histogram of response times", note, marked)


def _percentiles(report: LoadReport) -> Figure | None:
    response, service = read_distribution(report.response.histogram), read_distribution(report.service.histogram)
    if not response.total:
        return None
    curves = [Curve(service, "c6", "service time", dashed=True)] if service.total else []
    note = "How slow the slowest are. Where the two curves part, requests waited before they could be sent or answered."
    limits = limits_of(report.objective.text) if report.objective else []
    return percentile_figure([Curve(response, "c1", "response time"), *curves], "Percentiles", note, limits)


def _stages(report: LoadReport) -> Figure | None:
    if len(report.stages) < 2:
        return None
    limits = limits_of(report.objective.text) if report.objective else []
    points = [(stage.offered_per_s, stage.p99_us) for stage in report.stages]
    x = scales.linear([stage.offered_per_s for stage in report.stages], units.rate, "offered requests per second")
    y = scales.fitting([*(value for _, value in points), *(limit for _, limit in limits)], units.latency, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, "p99 over offered load")
        for words, limit_us in limits:
            chart.rule_y(limit_us, f"objective {words}")
        chart.line(sorted((at, value) for at, value in points if value is not None), "c4")
        told = [
            (
                stage.offered_per_s,
                float(stage.p99_us),
                f"{units.rate(stage.offered_per_s)}/s: "
                f"p99 {units.latency(stage.p99_us)}, {units.rate(stage.achieved_per_s)}/s answered",
            )
            for stage in report.stages
            if stage.p99_us is not None
        ]
        chart.dots(told, "c4")
        for stage in report.stages:
            if stage.knee:
                chart.rule_x(stage.offered_per_s, f"knee at {units.rate(stage.offered_per_s)}/s")
        return chart

    return figure("Load and latency, stage by stage", "p99 of each stage over the rate it offered.", [], draw)


def _server_over_time(report: LoadReport) -> Figure | None:
    """Stacked means of each interval; several models are weighted by their requests."""
    times = sorted({entry.at_s for entry in report.server_windows if entry.requests})
    if len(times) < _FEWEST_POINTS:
        return None
    stacked: list[tuple[float, list[float]]] = []
    for at_s in times:
        entries = [entry for entry in report.server_windows if entry.at_s == at_s and entry.requests]
        count = sum(entry.requests for entry in entries)
        means = [sum(getattr(entry, field) * entry.requests for entry in entries) / count for field, _, _ in PHASES]
        middle_s = at_s + entries[0].length_s / 2
        stacked.append((middle_s, [sum(means[: number + 1]) for number in range(len(means))]))
    y = scales.linear([levels[-1] for _, levels in stacked], units.latency, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, time_scale(report), y, "Time inside the server")
        for number, (_, _, style) in enumerate(PHASES):
            lower: Points = [(at_s, levels[number - 1] if number else 0.0) for at_s, levels in stacked]
            chart.area(lower, [(at_s, levels[number]) for at_s, levels in stacked], style)
        return chart

    note = "Mean of each interval per request, by Triton's own statistics, stacked."
    return figure("Time inside the server", note, [(style, words) for _, words, style in PHASES], draw)


def _batch_sizes_over_time(report: LoadReport) -> Figure | None:
    """A line for each model and version that executed anything."""
    lines: dict[str, list[tuple[float, float | None]]] = {}
    for entry in report.server_windows:
        if entry.mean_batch:
            name = f"{entry.model} version {entry.version}"
            lines.setdefault(name, []).append((entry.at_s + entry.length_s / 2, entry.mean_batch))
    if max(map(len, lines.values()), default=0) < _FEWEST_POINTS:
        return None
    styles = {name: f"c{number % 6 + 1}" for number, name in enumerate(lines)}
    y = scales.linear([value for points in lines.values() for _, value in points], units.significant, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, time_scale(report), y, "Batch size over time")
        for name, points in lines.items():
            chart.line(points, styles[name], words=name)
        return chart

    note = "Rows of each execution on the server, mean of each interval."
    return figure("Batch size over time", note, [(style, name) for name, style in styles.items()], draw)


def _batch_sizes(report: LoadReport) -> Figure | None:
    sizes: dict[int, int] = {}
    for batch in (batch for entry in report.server for batch in entry.batch_sizes):
        sizes[batch.size] = sizes.get(batch.size, 0) + batch.executions
    if not sizes:
        return None
    total = sum(sizes.values())
    x = scales.span(0.5, max(sizes) + 0.5, lambda value: f"{value:.0f}", "batch size")
    ticks = [value for value, _ in x.ticks(10) if value == int(value)]
    x = scales.Scale(x.low, x.high, x.words, x.label, marks=tuple((value, f"{value:.0f}") for value in ticks))
    y = scales.linear([count / total for count in sizes.values()], units.share, "")

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, "Batch sizes")
        for batch_size, count in sorted(sizes.items()):
            told = f"batch size {batch_size}: {count:,} executions, {units.share(count / total)}"
            chart.bar(batch_size - 0.4, batch_size + 0.4, count / total, "c3", told)
        return chart

    return figure("Batch sizes", f"Share of the {total:,} executions on the server, by rows in each.", [], draw)


def _versions(report: LoadReport) -> Figure | None:
    """Only where versions changed: one version is told in words."""
    names = list(dict.fromkeys(_version_names(report.windows)))
    if len(names) < 2:
        return None
    y = scales.linear([window.answered / window.length_s for window in report.windows], units.rate, "")
    styles = {name: f"c{number % 6 + 1}" for number, name in enumerate(names)}

    def draw(size: Size) -> Chart:
        chart = Chart(size, time_scale(report), y, "Versions that answered")
        for window in report.windows:
            base = 0.0
            for name in names:
                model, _, version = name.rpartition(" version ")
                per_s = window.versions.get(model, {}).get(version, 0) / window.length_s
                if per_s:
                    told = f"{name}: {units.rate(per_s)}/s at {units.significant(window.at_s)} s"
                    chart.bar(window.at_s, window.at_s + window.length_s, per_s, styles[name], told, base=base)
                base += per_s
        return chart

    note = "Answers per second, stacked by the version that gave them."
    return figure("Versions that answered", note, [(styles[name], name) for name in names], draw)


def _version_names(windows: Sequence[Window]) -> Iterator[str]:
    for window in windows:
        for model, versions in window.versions.items():
            for version in versions:
                yield f"{model} version {version}"


def breakdown(entry: ServerFigures, service_mean_us: float) -> list[tuple[str, str, float]]:
    """Where a request's time went: words, colour and microseconds; the last part is what lies outside of the server."""
    inside = [(words, style, float(getattr(entry, field))) for field, words, style in PHASES]
    rest = max(0.0, entry.request_us - sum(value for _, _, value in inside))
    outside = max(0.0, service_mean_us - entry.request_us)
    return [*inside, ("other in the server", "c1", rest), ("network and client", "c0", outside)]
