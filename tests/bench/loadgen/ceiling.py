"""How many requests a second the generator itself can make on one core, against a server that answers at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from bench.loadgen import ours
from bench.loadgen.figures import Found
from bench.markdown import table
from tests.loadtest.stub_server import MODEL, stub_server

CALLERS = 32
WANTED_PER_S = 2000.0


@dataclass(frozen=True)
class Ceiling:
    """One protocol.

    Attributes:
        protocol: "http" or "grpc".
        found: of a closed loop, from one process on one core.
        wrong: answers that were compared and differed, or errors.
    """

    protocol: str
    found: Found
    wrong: int

    @property
    def by_cpu_per_s(self) -> float:
        """What a whole core would give: the rate by the processor time that it took."""
        cpu = self.found.cpu_percent
        return self.found.rate_per_s / (cpu / 100) if cpu else 0.0


def measure(rounds: int, seconds: float, say: Callable[[str], None]) -> list[Ceiling]:
    """The best of ``rounds`` for each protocol: what else the machine does only ever lowers it."""
    cores = sorted(os.sched_getaffinity(0))
    best: dict[str, Ceiling] = {}
    for _ in range(rounds):
        for protocol in ("http", "grpc"):
            with stub_server() as stub:
                os.sched_setaffinity(stub.pid, {cores[-1]})
                url = stub.http if protocol == "http" else stub.grpc
                options = ("--callers", str(CALLERS), "--in-flight", str(CALLERS))
                report = ours.run("offline", url, MODEL, seconds, *options, core=cores[0])
            ceiling = Ceiling(protocol, ours.found(report), report.totals.errors)
            say(f"{protocol}: {ceiling.found.rate_per_s:.0f}/s, {ceiling.by_cpu_per_s:.0f}/s by processor time")
            if protocol not in best or ceiling.by_cpu_per_s > best[protocol].by_cpu_per_s:
                best[protocol] = ceiling
    return list(best.values())


def report(found: list[Ceiling]) -> list[str]:
    """As Markdown."""
    rows = [
        [
            one.protocol,
            f"{one.found.rate_per_s:,.0f}",
            f"{one.found.cpu_percent or 0:.0f} %",
            f"{one.by_cpu_per_s:,.0f}",
            str(one.wrong),
            "yes" if one.by_cpu_per_s >= WANTED_PER_S else "NO",
        ]
        for one in found
    ]
    head = ("", "requests/s", "of its core", "requests/s of a whole core", "errors", f"≥ {WANTED_PER_S:,.0f}/s")
    text = f"One process on one core, {CALLERS} callers in a closed loop, a stub server on another core."
    return ["## The generator's own ceiling", "", text, "", *table(head, rows)]
