"""The page of a peak search, with the knee of the curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maas_core.service_level import parse_service_level
from maas_loadtest.html_report import scales, units
from maas_loadtest.html_report.figures import Figure, figure
from maas_loadtest.html_report.page import Cell, Table, Tile, Toned, render
from maas_loadtest.html_report.svg import Chart, Size
from maas_loadtest.peak import Limit, Peak, PeakStatus, Probe, holding_and_failing

_HOLDS, _FAILS = "c3", "hollow"


def peak_html(peak: Peak, about: Sequence[tuple[str, str]]) -> str:
    """One self-contained HTML file.

    Args:
        peak: what was found.
        about: pairs of what was searched and how, for the end of the page.
    """
    tone, words = conclusion(peak)
    return render(
        "peak.html",
        title="Peak search",
        subtitle=f"The highest rate that holds {peak.objective}",
        tone=tone,
        status=headline(peak),
        meaning=words,
        tiles=list(_tiles(peak)),
        figures=[_knee(peak), _carried(peak)] if peak.probes else [],
        probes=_table(peak),
        about=about,
    )


def headline(peak: Peak) -> str:
    """The verdict in a few words."""
    rate = units.rate(peak.peak_per_s)
    return {
        PeakStatus.FOUND: f"{rate} requests per second",
        PeakStatus.AT_LEAST: f"at least {rate} requests per second",
        PeakStatus.NONE_HOLDS: "no rate holds",
        PeakStatus.NOT_CONFIRMED: "not confirmed",
        PeakStatus.INTERRUPTED: "interrupted",
    }[peak.status]


def conclusion(peak: Peak) -> tuple[str, str]:
    """Tone, and what the verdict means."""
    failing = units.rate(peak.fails_per_s)
    again = f"It held {peak.confirmed} more times, each with another seed"
    return {
        PeakStatus.FOUND: ("good", f"{again}; {failing}/s did not hold."),
        PeakStatus.AT_LEAST: (
            "warn",
            f"{again}. What came next was a limit of the search or of the load generator, not of the server.",
        ),
        PeakStatus.NONE_HOLDS: ("bad", "Not even the lowest rate that was tried holds the objective."),
        PeakStatus.NOT_CONFIRMED: ("warn", "Rates held once and failed when asked again: the server is not steady."),
        PeakStatus.INTERRUPTED: ("warn", "The search was stopped before it came to an end."),
    }[peak.status]


def _tiles(peak: Peak) -> Iterator[Tile]:
    yield Tile("highest that holds", f"{units.rate(peak.peak_per_s)}/s", f"asked again and held: {peak.confirmed}")
    yield Tile("lowest that fails", f"{units.rate(peak.fails_per_s)}/s", "above the peak")
    at_peak = [probe for probe in peak.probes if probe.rate_per_s == peak.peak_per_s and probe.latency_us is not None]
    if at_peak:
        latencies = sorted(probe.latency_us or 0.0 for probe in at_peak)
        shown = units.latency(latencies[len(latencies) // 2])
        spread = f"{units.latency(latencies[0])} to {units.latency(latencies[-1])} in {len(latencies)} tests"
        yield Tile(f"{units.percent_name(at_peak[0].percent)} at the peak", shown, spread)
    yield Tile("load tests", str(len(peak.probes)), "made for this")


def _knee(peak: Peak) -> Figure:
    seen = [probe for probe in peak.probes if probe.latency_us is not None]
    name = units.percent_name(peak.probes[0].percent)
    limit_ms = parse_service_level(peak.objective).limits_ms.get(name)
    rates = [probe.rate_per_s for probe in peak.probes]
    x = scales.fitting(rates, units.rate, "offered requests per second")
    limits = [] if limit_ms is None else [limit_ms * 1e3]
    y = scales.fitting([*(probe.latency_us for probe in seen), *limits], units.latency, "")
    held, failed = ([one for one in part if one.latency_us is not None] for part in holding_and_failing(peak.probes))

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, "The knee")
        for limit_us in limits:
            chart.rule_y(limit_us, f"objective {name} ≤ {units.latency(limit_us)}")
        if peak.peak_per_s is not None:
            chart.rule_x(peak.peak_per_s, f"{units.rate(peak.peak_per_s)}/s")
        chart.line([(probe.rate_per_s, probe.latency_us) for probe in _medians(seen)], "c0")
        chart.dots([_dot(probe) for probe in failed], _FAILS)
        chart.dots([_dot(probe) for probe in held], _HOLDS)
        return chart

    note = f"{name} of the response time over the offered rate, one dot for each load test."
    return figure("The knee", note, [(_HOLDS, "holds"), ("c4", "does not hold")], draw, full=True)


def _medians(probes: Sequence[Probe]) -> list[Probe]:
    """One probe for each rate, by rising rate: the one in the middle."""
    rates = sorted({probe.rate_per_s for probe in probes})
    same = [sorted((p for p in probes if p.rate_per_s == rate), key=lambda p: p.latency_us or 0.0) for rate in rates]
    return [part[len(part) // 2] for part in same]


def _dot(probe: Probe) -> tuple[float, float, str]:
    found = f"{units.percent_name(probe.percent)} {units.latency(probe.latency_us)}"
    words = "holds" if probe.holds else "; ".join(probe.reasons)
    return probe.rate_per_s, probe.latency_us or 0.0, f"{units.rate(probe.rate_per_s)}/s: {found}: {words}"


def _carried(peak: Peak) -> Figure:
    rates = [probe.rate_per_s for probe in peak.probes]
    x = scales.linear(rates, units.rate, "offered requests per second")
    y = scales.linear([*rates, *(probe.achieved_per_s for probe in peak.probes)], units.rate, "")
    held, failed = holding_and_failing(peak.probes)

    def draw(size: Size) -> Chart:
        chart = Chart(size, x, y, "What was answered")
        chart.line([(0.0, 0.0), (max(rates), max(rates))], "c0", dashed=True)
        for part, style in ((failed, _FAILS), (held, _HOLDS)):
            dots = [
                (probe.rate_per_s, probe.achieved_per_s, f"{units.rate(probe.achieved_per_s)}/s answered")
                for probe in part
            ]
            chart.dots(dots, style)
        return chart

    legend = [("c0 dashed", "all that was offered"), (_HOLDS, "holds"), ("c4", "does not hold")]
    return figure("What was answered", "Answered over offered requests per second.", legend, draw, full=True)


def _table(peak: Peak) -> Table:
    rows: list[Sequence[Cell]] = [
        [
            str(number),
            _outcome(probe),
            "; ".join(probe.reasons) or ("asked again" if probe.confirms else ""),
            units.rate(probe.rate_per_s),
            units.rate(probe.achieved_per_s),
            units.latency(probe.latency_us),
            str(probe.seed),
        ]
        for number, probe in enumerate(peak.probes, 1)
    ]
    name = units.percent_name(peak.probes[0].percent) if peak.probes else ""
    return Table(("", "", "why", "offered/s", "answered/s", name, "seed"), rows, numbers_from=3)


def _outcome(probe: Probe) -> Toned:
    if probe.holds:
        return Toned("holds", "good")
    words = {Limit.GENERATOR: "generator's limit", Limit.MEASUREMENT: "not valid"}.get(probe.limit)
    return Toned(words, "warn") if words else Toned("fails", "bad")


def as_text(peak: Peak) -> str:
    """What a terminal shows: the verdict and its meaning."""
    _, words = conclusion(peak)
    return f"{headline(peak)} with {peak.objective}. {words}"
