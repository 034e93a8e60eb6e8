"""The freeze test: a server that stops for a second, and which tools notice.

Requests come at equal distances for T seconds, and for F of them the server stands still. A request that comes t before
the end of the freeze waits t, so waits lie evenly between 0 and F, and a share of (F - t) / T waits longer than t: the
percentile q is F - (1 - q) T. For F = 1 s and T = 30 s that is 0.70 s for p99 and 0.97 s for p99.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.load_programs.perf_analyzer import PerfAnalyzer
from bench.loadgen import ours, perf, plain_locust
from bench.loadgen.figures import Found
from bench.markdown import table
from tests.loadtest.stub_server import MODEL, Stub, stub_server

RATE_PER_S = 100.0
SECONDS = 30.0
FREEZE_S = 1.0
_AFTER_S = 10.0
"""Of requests: by then all tools count, and none of them has ended."""
_DELAY_MS = 1.0
WITHIN = 0.05


@dataclass(frozen=True)
class Frozen:
    """What one tool says about the freeze, and what is true."""

    found: Found
    protocol: str
    freeze_s: float

    def true_ms(self, percent: float) -> float:
        """By arithmetic, for as long as this tool counted."""
        return 1e3 * (self.freeze_s - (1 - percent / 100) * self.found.seconds)

    @property
    def off(self) -> float:
        """How far p99 and p99.9 are from the truth, relative, the worse of both."""
        pairs = ((self.found.p99_ms, 99.0), (self.found.p999_ms, 99.9))
        return max(abs(got / self.true_ms(percent) - 1) for got, percent in pairs)


def measure(program: PerfAnalyzer | None, say: Callable[[str], None]) -> list[Frozen]:
    """Every tool once, over each of its protocols."""
    found = []
    for protocol in ("http", "grpc"):
        for tool, run in _tools(protocol, program):
            after_requests = int(_AFTER_S * RATE_PER_S)
            with stub_server(delay_ms=_DELAY_MS) as stub, stub.freezing(after_requests, FREEZE_S) as lengths_s:
                seen = run(stub)
            frozen = Frozen(seen, protocol, lengths_s[0])
            say(f"{tool} over {protocol}: p99 {frozen.found.p99_ms:.0f} ms, p99.9 {frozen.found.p999_ms:.0f} ms")
            found.append(frozen)
    return found


def _tools(protocol: str, program: PerfAnalyzer | None) -> list[tuple[str, Callable[[Stub], Found]]]:
    tools: list[tuple[str, Callable[[Stub], Found]]] = [(ours.OURS, partial(_ours, protocol))]
    if protocol == "http":
        tools.append((plain_locust.PLAIN_LOCUST, _locust))
    if program is not None:
        tools.append((perf.PERF_ANALYZER, partial(_perf, program, protocol)))
    return tools


def _ours(protocol: str, stub: Stub) -> Found:
    url = stub.http if protocol == "http" else stub.grpc
    return ours.found(ours.run("steady", url, MODEL, SECONDS, "--rate", f"{RATE_PER_S:g}"))


def _locust(stub: Stub) -> Found:
    return plain_locust.run(stub.http, RATE_PER_S, SECONDS)


def _perf(program: PerfAnalyzer, protocol: str, stub: Stub) -> Found:
    url = stub.http if protocol == "http" else stub.grpc
    inputs = {"x": np.zeros(4, np.float32)}
    return perf.run(program, url, MODEL, inputs, SECONDS, rate_per_s=RATE_PER_S, constant=True)


def report(found: list[Frozen]) -> list[str]:
    """As Markdown."""
    rows = [
        [
            f"{one.found.tool}, {one.protocol}",
            f"{one.found.answers:,}",
            f"{one.found.p50_ms:.1f}",
            f"{one.found.p99_ms:.0f}",
            f"{one.true_ms(99):.0f}",
            f"{one.found.p999_ms:.0f}",
            f"{one.true_ms(99.9):.0f}",
            f"{one.off:.1%}",
        ]
        for one in found
    ]
    head = ("", "answers", "p50 ms", "p99 ms", "true", "p99.9 ms", "true", "off by")
    text = f"A server that stands still for {FREEZE_S:g} s while {RATE_PER_S:g} requests come each second."
    return ["## The freeze", "", text, "", *table(head, rows)]
