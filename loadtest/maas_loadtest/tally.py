"""What all workers saw together: the parts that they hand over, added up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maas_loadtest.histogram import Counts

_LEAST_SHARE_S = 0.5
"""A share of a shorter time says nothing."""


@dataclass
class WindowTally:
    """One window of the time line, all workers and models."""

    counts: Counter[str] = field(default_factory=Counter)
    response: Counts = field(default_factory=Counts)
    service: Counts = field(default_factory=Counts)
    versions: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    cpu_percent: float = 0.0
    in_flight: dict[str, int] = field(default_factory=dict)


@dataclass
class ModelTally:
    """One model, whole run."""

    counts: Counter[str] = field(default_factory=Counter)
    response: Counts = field(default_factory=Counts)
    service: Counts = field(default_factory=Counts)
    first: Counts = field(default_factory=Counts)
    between: Counts = field(default_factory=Counts)


@dataclass
class WorkerTally:
    """One process of the generator."""

    name: str
    pid: int = 0
    sent: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    cpu_percent_worst: float = 0.0
    late: Counts = field(default_factory=Counts)
    gap_error_us: float | None = None
    ready: int = 0
    done: int = 0
    seen_at: float = 0.0
    lost: bool = False

    @property
    def cpu_percent(self) -> float:
        """Mean of the measured time, of one core."""
        return 100 * self.cpu_s / self.wall_s if self.wall_s else 0.0


@dataclass
class ErrorTally:
    """One kind of failure."""

    count: int = 0
    first_at_s: float = float("inf")


class Tally:
    """Adds parts up; they may come in any order."""

    def __init__(self) -> None:
        self.windows: defaultdict[int, WindowTally] = defaultdict(WindowTally)
        self.models: defaultdict[str, ModelTally] = defaultdict(ModelTally)
        self.errors: defaultdict[tuple[str, str, str], ErrorTally] = defaultdict(ErrorTally)
        self.workers: dict[str, WorkerTally] = {}
        self.first_answer_s: float | None = None
        self.last_answer_s: float | None = None

    def worker(self, name: str) -> WorkerTally:
        """The worker of this name."""
        return self.workers.setdefault(name, WorkerTally(name))

    def add(self, name: str, part: Mapping[str, Any]) -> None:
        """Takes what :meth:`maas_loadtest.recorder.Recorder.hand_over` gave."""
        worker = self.worker(name)
        worker.pid = part["pid"]
        worker.cpu_s += part["cpu_s"]
        worker.wall_s += part["wall_s"]
        worker.late.add(part["late"])
        if part["wall_s"] > _LEAST_SHARE_S:
            worker.cpu_percent_worst = max(worker.cpu_percent_worst, part["cpu_percent"])
        for message in part["windows"]:
            self._add_window(message)
        for message in part["models"]:
            self._add_model(message, worker)
        for model, kind, text, count, at_s in part["errors"]:
            entry = self.errors[model, kind, text]
            entry.count += count
            entry.first_at_s = min(entry.first_at_s, at_s)
        now = self.windows[part["now_window"]]
        if part["wall_s"] > _LEAST_SHARE_S:
            now.cpu_percent = max(now.cpu_percent, part["cpu_percent"])
        now.in_flight[name] = part["in_flight"]
        self._add_answers(part["answers_s"])

    def _add_window(self, message: Mapping[str, Any]) -> None:
        window = self.windows[message["number"]]
        window.counts.update(message["counts"])
        window.response.add(message["response"])
        window.service.add(message["service"])
        for model, version, count in message["versions"]:
            window.versions[model][version] += count

    def _add_model(self, message: Mapping[str, Any], worker: WorkerTally) -> None:
        model = self.models[message["model"]]
        model.counts.update(message["counts"])
        worker.sent += message["counts"].get("sent", 0)
        for name in ("response", "service", "first", "between"):
            getattr(model, name).add(message[name])

    def _add_answers(self, answers_s: tuple[float | None, float | None]) -> None:
        first, last = answers_s
        if first is not None:
            self.first_answer_s = min(first, self.first_answer_s if self.first_answer_s is not None else first)
        if last is not None:
            self.last_answer_s = max(last, self.last_answer_s or 0.0)

    def total(self, name: str) -> int:
        """A counter of all windows, or of all models where windows do not have it."""
        of_windows = sum(window.counts[name] for window in self.windows.values())
        return of_windows or sum(model.counts[name] for model in self.models.values())

    def versions(self, model: str) -> Counter[str]:
        """Answers of one model by version."""
        seen: Counter[str] = Counter()
        for window in self.windows.values():
            seen.update(window.versions[model])
        return seen
