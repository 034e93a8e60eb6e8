"""What one worker saw: counted per window of the time line and per model, handed over in parts that add up."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from maas_loadtest.histogram import sparse

_NS_PER_US = 1000
_UNKNOWN = frozenset({"timeout", "connection", "protocol"})
_MOST_MESSAGES = 50


@dataclass
class _Window:
    """Counts of one window since the last hand-over."""

    counts: Counter[str] = field(default_factory=Counter)
    response_us: list[int] = field(default_factory=list)
    service_us: list[int] = field(default_factory=list)
    versions: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class _Model:
    """One model since the last hand-over."""

    counts: Counter[str] = field(default_factory=Counter)
    response_us: list[int] = field(default_factory=list)
    service_us: list[int] = field(default_factory=list)
    first_us: list[int] = field(default_factory=list)
    between_us: list[int] = field(default_factory=list)


class Recorder:
    """Counts until it is asked for what it has; not for several threads.

    Args:
        window_ns: length of a window.
    """

    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns
        self._start_ns = 0
        self._windows: defaultdict[int, _Window] = defaultdict(_Window)
        self._models: defaultdict[str, _Model] = defaultdict(_Model)
        self._errors: dict[tuple[str, str, str], list[float]] = {}
        self._late_us: list[int] = []
        self._planned_ns: list[int] = []
        self._sent_ns: list[int] = []
        self._first_answer_ns = self._last_answer_ns = 0
        self._cpu_s = self._cpu_at = 0.0
        self.in_flight = 0

    def begin(self, start_ns: int) -> None:
        """The measurement starts at this moment of ``time.monotonic_ns``."""
        self._start_ns = start_ns
        self._cpu_s, self._cpu_at = time.process_time(), time.monotonic()

    def window_of(self, moment_ns: int) -> int:
        """The number of the window that a moment lies in."""
        return max(0, (moment_ns - self._start_ns) // self._window_ns)

    def offered(self, window: int, count: int = 1) -> None:
        """So many requests were due."""
        self._windows[window].counts["offered"] += count

    def dropped(self, window: int, count: int = 1) -> None:
        """They could not be sent: too many were under way."""
        self._windows[window].counts["dropped"] += count

    def sent(self, window: int, model: str, size_bytes: int) -> None:
        """One is on its way."""
        self._windows[window].counts["sent"] += 1
        counts = self._models[model].counts
        counts["sent"] += 1
        counts["bytes_sent"] += size_bytes

    def late(self, planned_ns: int, sent_ns: int) -> None:
        """How well the generator kept a scheduled moment."""
        self._late_us.append(max(0, sent_ns - planned_ns) // _NS_PER_US)
        self._planned_ns.append(planned_ns)
        self._sent_ns.append(sent_ns)

    def answered(
        self,
        window: int,
        model: str,
        version: str,
        *,
        due_ns: int,
        sent_ns: int,
        done_ns: int,
        items: int,
        size_bytes: int,
    ) -> int:
        """A good answer; the response time in microseconds comes back."""
        response_us = (done_ns - due_ns) // _NS_PER_US
        service_us = (done_ns - sent_ns) // _NS_PER_US
        of_window, of_model = self._windows[window], self._models[model]
        of_window.counts["answered"] += 1
        of_window.response_us.append(response_us)
        of_window.service_us.append(service_us)
        of_window.versions[model, version] += 1
        self._windows[self.window_of(done_ns)].counts["completed"] += 1
        of_model.counts["answered"] += 1
        of_model.counts["items"] += items
        of_model.counts["bytes_received"] += size_bytes
        of_model.response_us.append(response_us)
        of_model.service_us.append(service_us)
        self._first_answer_ns = self._first_answer_ns or done_ns
        self._last_answer_ns = max(self._last_answer_ns, done_ns)
        return response_us

    def streamed(self, model: str, due_ns: int, parts_ns: tuple[int, ...]) -> None:
        """When the answers of one stream came."""
        of_model = self._models[model]
        of_model.counts["tokens"] += len(parts_ns)
        if parts_ns:
            of_model.first_us.append((parts_ns[0] - due_ns) // _NS_PER_US)
            of_model.between_us += [(after - before) // _NS_PER_US for before, after in pairwise(parts_ns)]

    def failed(self, window: int, model: str, kind: str, message: str) -> None:
        """No good answer; a request without any may have been executed all the same, and the server counts it."""
        self._windows[window].counts["errors"] += 1
        counts = self._models[model].counts
        counts["errors"] += 1
        counts["unknown"] += kind in _UNKNOWN
        at_s = (time.monotonic_ns() - self._start_ns) / 1e9
        if len(self._errors) >= _MOST_MESSAGES and (model, kind, message) not in self._errors:
            message = "further messages"
        entry = self._errors.setdefault((model, kind, message), [0, at_s])
        entry[0] += 1

    def compared(self, model: str, *, right: bool) -> None:
        """One answer was held against what is right."""
        counts = self._models[model].counts
        counts["checked"] += 1
        counts["wrong"] += not right

    def hand_over(self) -> dict[str, Any]:
        """All since the last time, for msgpack; the counters begin anew."""
        now, cpu_s = time.monotonic(), time.process_time()
        share = 100 * (cpu_s - self._cpu_s) / max(1e-6, now - self._cpu_at)
        part = {
            "windows": [_window_message(number, window) for number, window in sorted(self._windows.items())],
            "models": [_model_message(name, model) for name, model in self._models.items()],
            "errors": [[*key, int(count), at_s] for key, (count, at_s) in self._errors.items()],
            "late": sparse(self._late_us),
            "in_flight": self.in_flight,
            "now_window": self.window_of(time.monotonic_ns()),
            "cpu_s": cpu_s - self._cpu_s,
            "cpu_percent": share,
            "wall_s": now - self._cpu_at,
            "answers_s": [self._seconds(self._first_answer_ns), self._seconds(self._last_answer_ns)],
        }
        self._cpu_s, self._cpu_at = cpu_s, now
        self._windows.clear()
        self._models.clear()
        self._errors.clear()
        self._late_us.clear()
        return part

    def gap_error_us(self) -> float | None:
        """How far the distances between sends were from the planned ones: the Wasserstein distance of the two samples.

        Source: Villani, "Topics in Optimal Transportation", 2.2: in one dimension the mean distance of sorted values.
        """
        if len(self._sent_ns) < 2:
            return None
        planned = np.sort(np.diff(np.sort(np.array(self._planned_ns, np.int64))))
        sent = np.sort(np.diff(np.sort(np.array(self._sent_ns, np.int64))))
        return float(np.abs(planned - sent).mean()) / _NS_PER_US

    def _seconds(self, moment_ns: int) -> float | None:
        return (moment_ns - self._start_ns) / 1e9 if moment_ns else None


def _window_message(number: int, window: _Window) -> dict[str, Any]:
    return {
        "number": number,
        "counts": dict(window.counts),
        "response": sparse(window.response_us),
        "service": sparse(window.service_us),
        "versions": [[model, version, count] for (model, version), count in window.versions.items()],
    }


def _model_message(name: str, model: _Model) -> dict[str, Any]:
    return {
        "model": name,
        "counts": dict(model.counts),
        "response": sparse(model.response_us),
        "service": sparse(model.service_us),
        "first": sparse(model.first_us),
        "between": sparse(model.between_us),
    }
