"""Ours beside NVIDIA's perf_analyzer: same server, same rate, same number of callers, in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench.load_programs.perf_analyzer import PerfAnalyzer
from bench.loadgen import ours, perf
from bench.loadgen.figures import Found
from bench.loadgen.sleepers import INPUT, INSTANCES, SLEEP_MS, SLOW, TINY, WIDTH, serve_sleepers
from bench.markdown import table

CALLERS = 2
_SHARE_OF_CAPACITY = 0.4
RATE_PER_S = _SHARE_OF_CAPACITY * INSTANCES * 1e3 / SLEEP_MS
_MOST_RATE = 0.03
_MOST_LATENCY = 0.05
_MOST_LATENCY_MS = 0.5


@dataclass
class Pair:
    """One kind of load, by both tools; each list has one entry a round.

    Attributes:
        what: in words.
        tiny: of the model that takes no time: nothing is asked of it, the generators' own shares are shown.
    """

    what: str
    tiny: bool
    ours: list[Found] = field(default_factory=list)
    theirs: list[Found] = field(default_factory=list)

    def medians(self, figure: Callable[[Found], float]) -> tuple[float, float]:
        """Ours and theirs."""
        return median(map(figure, self.ours)), median(map(figure, self.theirs))

    @property
    def rate_agrees(self) -> bool:
        """Within 3 %."""
        own, other = self.medians(lambda found: found.rate_per_s)
        return abs(own / other - 1) <= _MOST_RATE

    def latency_agrees(self, figure: Callable[[Found], float]) -> bool:
        """Within 5 % or 0.5 ms."""
        own, other = self.medians(figure)
        return abs(own - other) <= max(_MOST_LATENCY * other, _MOST_LATENCY_MS)

    @property
    def agrees(self) -> bool:
        """All of it."""
        return self.rate_agrees and all(self.latency_agrees(figure) for _, figure in _LATENCIES)


_LATENCIES: tuple[tuple[str, Callable[[Found], float]], ...] = (
    ("p50", lambda found: found.p50_ms),
    ("p99", lambda found: found.p99_ms),
)


def measure(program: PerfAnalyzer, rounds: int, seconds: float, say: Callable[[str], None]) -> list[Pair]:
    """Both tools in changing order, ``rounds`` times."""
    pairs: dict[tuple[str, str, str], Pair] = {}
    with serve_sleepers() as triton:
        urls = {"http": f"http://{triton.http_url}", "grpc": f"grpc://{triton.grpc_url}"}
        for number in range(rounds):
            for model in (SLOW, TINY):
                for protocol, url in urls.items():
                    for loop in ("open", "closed"):
                        key = (model, protocol, loop)
                        pair = pairs.setdefault(key, Pair(_words(*key), model == TINY))
                        _round(pair, program, url, model, loop, seconds, first=bool(number % 2))
                        say(f"{pair.what}: {pair.ours[-1].p50_ms:.2f} and {pair.theirs[-1].p50_ms:.2f} ms")
    return list(pairs.values())


def _words(model: str, protocol: str, loop: str) -> str:
    load = f"{RATE_PER_S:.0f}/s" if loop == "open" else f"{CALLERS} callers"
    return f"{model}, {protocol}, {load}"


def _round(pair: Pair, program: PerfAnalyzer, url: str, model: str, loop: str, seconds: float, *, first: bool) -> None:
    def own() -> None:
        # Service times: a closed loop has no other, and perf_analyzer counts from the send also in an open one.
        if loop == "open":
            report = ours.run("steady", url, model, seconds, "--rate", f"{RATE_PER_S:g}")
        else:
            report = ours.run("single_stream", url, model, seconds, "--callers", str(CALLERS))
        pair.ours.append(ours.found(report, service=True))

    def theirs() -> None:
        rate = RATE_PER_S if loop == "open" else None
        inputs = {INPUT: np.zeros(WIDTH, np.float32)}
        found = perf.run(program, url, model, inputs, seconds, rate_per_s=rate, callers=CALLERS, constant=True)
        pair.theirs.append(found)

    for measure_one in (theirs, own) if first else (own, theirs):
        measure_one()


def report(pairs: list[Pair]) -> list[str]:
    """As Markdown."""
    rows = []
    for pair in (pair for pair in pairs if not pair.tiny):
        cells = [pair.what]
        for figure, form in ((lambda found: found.rate_per_s, ".1f"), *((one, ".2f") for _, one in _LATENCIES)):
            own, other = pair.medians(figure)
            cells += [f"{own:{form}}", f"{other:{form}}", f"{own / other - 1:+.1%}"]
        rows.append([*cells, "yes" if pair.agrees else "NO"])
    head = ["", "rate", "theirs", "off", "p50 ms", "theirs", "off", "p99 ms", "theirs", "off", "agrees"]
    rounds = len(pairs[0].ours)
    capacity = INSTANCES * 1e3 / SLEEP_MS
    text = (
        f"A model that takes {SLEEP_MS:g} ms, {INSTANCES} at a time (capacity {capacity:.0f}/s); service times, "
        f"medians of {rounds} rounds. Wanted: rates within 3 %, latencies within 5 % or 0.5 ms."
    )
    own_share = (
        "A model that takes no time: what is left of a latency beside the time inside the server is network and the "
        "generator's own share."
    )
    return [
        "## Beside perf_analyzer",
        "",
        text,
        "",
        *table(head, rows),
        "",
        own_share,
        "",
        *_shares([pair for pair in pairs if pair.tiny]),
    ]


def _shares(pairs: list[Pair]) -> list[str]:
    rows = []
    for pair in pairs:
        cells = [pair.what]
        p50s = pair.medians(lambda found: found.p50_ms)
        for p50_ms, server_ms in zip(p50s, pair.medians(lambda found: found.server_ms or 0.0), strict=True):
            cells += [f"{p50_ms:.3f}", f"{server_ms:.3f}", f"{p50_ms - server_ms:.3f}"]
        rows.append(cells)
    head = ["", "our p50 ms", "in the server", "beside it", "their p50 ms", "in the server", "beside it"]
    return table(head, rows)
