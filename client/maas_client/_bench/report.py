"""What a measurement found, as JSON, as a table and as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from maas_client._bench.load import Level

SCHEMA = 1
"""Of the JSON; it grows when a field changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class Report:
    """One measurement.

    Attributes:
        model: its name.
        version: the one that answered.
        digest: of that version, or "".
        url: the server's.
        inputs: "generated", or what the files are called.
        batch_size: rows of each request.
        seed: of generated inputs.
        seconds: length of each level.
        levels: by rising concurrency.
    """

    model: str
    version: int
    digest: str
    url: str
    inputs: str
    batch_size: int
    seed: int
    seconds: float
    levels: Sequence[Level]

    @property
    def at_one(self) -> Level | None:
        """With one caller; None where that was not measured."""
        return next((level for level in self.levels if level.concurrency == 1), None)

    @property
    def at_best(self) -> Level:
        """Where most requests a second were answered."""
        return max(self.levels, key=lambda level: level.requests_per_s)

    def as_json(self) -> dict[str, Any]:
        """For programs; the fields stay as long as ``schema`` does."""
        at_one = self.at_one
        return {
            "schema": SCHEMA,
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "url": self.url,
            "cores": os.cpu_count(),
            "inputs": self.inputs,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "seconds": self.seconds,
            "levels": [asdict(level) for level in self.levels],
            "at_one": None if at_one is None else asdict(at_one),
            "at_best": asdict(self.at_best),
        }

    def table(self) -> str:
        """For people."""
        lines = [("callers", "requests/s", "samples/s", "p50 ms", "p90 ms", "p99 ms", "errors")]
        lines += [
            (
                str(level.concurrency),
                f"{level.requests_per_s:,.1f}",
                f"{level.samples_per_s:,.1f}",
                f"{level.p50_ms:.2f}",
                f"{level.p90_ms:.2f}",
                f"{level.p99_ms:.2f}",
                str(level.errors),
            )
            for level in self.levels
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        head = f"{self.model} version {self.version} at {self.url}, batch {self.batch_size}, inputs: {self.inputs}"
        rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        return "\n".join([head, *rows])

    def draw(self, path: Path) -> None:
        """Latency and throughput over the number of callers, as a PNG.

        Raises:
            OSError: the file cannot be written.
        """
        # Imported here: matplotlib is needed by nobody else.
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullLocator

        callers = [level.concurrency for level in self.levels]
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        latency, rate = figure.subplots(1, 2)
        for name, mark in (("p50", "o"), ("p90", "s"), ("p99", "^")):
            latency.plot(callers, [getattr(level, f"{name}_ms") for level in self.levels], marker=mark, label=name)
        latency.set(ylabel="latency [ms]", ylim=(0, None))
        latency.legend()
        rate.plot(callers, [level.requests_per_s for level in self.levels], marker="o", color="tab:green")
        rate.set(ylabel="requests per second", ylim=(0, None))
        for axes in (latency, rate):
            axes.set(xlabel="callers", xscale="log")
            axes.set_xticks(callers, [str(count) for count in callers])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(alpha=0.3)
        figure.suptitle(f"{self.model} version {self.version}, batch {self.batch_size}, closed loop over {self.url}")
        figure.savefig(path, dpi=120, format="png")
