"""What a run of the benchmark found, as it is written to JSON, and the medians that tables and goals are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.load_programs.result import Load

IN_PROCESS = "ONNX Runtime in process"


@dataclass(frozen=True)
class Cell:
    """One measurement: who, over what, with how many callers, in which round.

    Attributes:
        others: the share of the machine (0 to 1) that other processes took meanwhile.
        cpu_us: processor time per request in microseconds: of the server's front, its workers, the generator.
        tries: how often it was measured; the quietest counts.
    """

    round: int
    model: str
    peer: str
    wire: str
    callers: int
    load: Load
    others: float
    cpu_us: tuple[float, float, float]
    tries: int


@dataclass(frozen=True)
class Compute:
    """ONNX Runtime in process, one layout in one round: rows per second, and processor time for each."""

    round: int
    model: str
    processes: int
    threads: int
    batch_size: int
    rate: float
    cpu_us: float
    others: float


@dataclass(frozen=True)
class Start:
    """One start of a server: seconds to the first answer, private memory of its processes after it."""

    round: int
    model: str
    peer: str
    startup_s: float
    memory: list[tuple[str, int]]


@dataclass
class Records:
    """All that one run found."""

    environment: dict[str, Any]
    cells: list[Cell] = field(default_factory=list)
    compute: list[Compute] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    three_models_s: dict[str, list[float]] = field(default_factory=dict)
    weights_bytes: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def median(self, model: str, peer: str, wire: str, callers: int, what: Callable[[Load], float]) -> float | None:
        """Over the rounds; None where it was not measured."""
        values = [
            what(cell.load)
            for cell in self.cells
            if (cell.model, cell.peer, cell.wire, cell.callers) == (model, peer, wire, callers)
        ]
        return median(values) if values else None

    def cpu_us(self, model: str, peer: str, wire: str, callers: int) -> tuple[float, float, float] | None:
        """Median processor time per request, in microseconds: front, workers, generator."""
        same = [c.cpu_us for c in self.cells if (c.model, c.peer, c.wire, c.callers) == (model, peer, wire, callers)]
        if not same:
            return None
        front, workers, generator = (median(values) for values in zip(*same, strict=True))
        return front, workers, generator

    def others(self, model: str, peer: str, wire: str, callers: int) -> float:
        """The median share of the machine that other programs took meanwhile; 0 where it was not measured."""
        same = [c.others for c in self.cells if (c.model, c.peer, c.wire, c.callers) == (model, peer, wire, callers)]
        return median(same) if same else 0.0

    def rate(self, model: str, peer: str, wire: str, callers: int) -> float | None:
        """Median requests per second."""
        return self.median(model, peer, wire, callers, lambda load: load.rate)

    def capacity(self, model: str, peer: str, wire: str, callers: int) -> float | None:
        """Requests per second that the cores have processor time for; others disturb it less than a rate."""
        cpu_us = self.cpu_us(model, peer, wire, callers)
        return None if cpu_us is None or not sum(cpu_us) else self.environment["cores"] * 1e6 / sum(cpu_us)

    def capacity_limit(self, model: str, noop: str, wire: str, callers: int) -> float | None:
        """:meth:`limit`, of capacities instead of rates."""
        noop_rate, cpu_us = self.capacity(model, noop, wire, callers), self.compute_cpu_us(model)
        if noop_rate is None or cpu_us is None:
            return None
        return limit(noop_rate, self.environment["cores"] * 1e6 / cpu_us)

    def compute_cpu_us(self, model: str) -> float | None:
        """Processor time of a row in process, in microseconds, with the layout that needs least."""
        layouts = self._layouts(model).values()
        return min((median(entry.cpu_us for entry in same) for same in layouts), default=None)

    def best_compute(self, model: str) -> Compute | None:
        """The fastest layout in process: medians over the rounds."""
        best: Compute | None = None
        for layout, same in self._layouts(model).items():
            rate = median(entry.rate for entry in same)
            if best is None or rate > best.rate:
                cpu_us = median(entry.cpu_us for entry in same)
                best = Compute(len(same), model, *layout, rate, cpu_us, median(entry.others for entry in same))
        return best

    def _layouts(self, model: str) -> dict[tuple[int, int, int], list[Compute]]:
        found: dict[tuple[int, int, int], list[Compute]] = {}
        for entry in self.compute:
            if entry.model == model:
                found.setdefault((entry.processes, entry.threads, entry.batch_size), []).append(entry)
        return found

    def limit(self, model: str, noop: str, wire: str, callers: int) -> float | None:
        """1 / (1/noop + 1/compute): what a server could reach on these cores that does nothing beyond both."""
        noop_rate, compute = self.rate(model, noop, wire, callers), self.best_compute(model)
        return None if noop_rate is None or compute is None else limit(noop_rate, compute.rate)

    def instance_bytes(self, model: str, peer: str) -> list[int]:
        """Private memory of the peer's processes, one entry for each, largest first; medians over the rounds."""
        lists = [
            [size for _, size in start.memory] for start in self.starts if (start.model, start.peer) == (model, peer)
        ]
        return [int(median(sizes)) for sizes in zip(*lists, strict=False)]


def limit(noop: float, compute: float) -> float:
    """Requests per second where both costs add up on the same cores."""
    return 1 / (1 / noop + 1 / compute)


def loads(cells: Sequence[Cell]) -> tuple[int, float]:
    """How many requests failed, and the most that others took."""
    return sum(cell.load.errors for cell in cells), max((cell.others for cell in cells), default=0.0)
