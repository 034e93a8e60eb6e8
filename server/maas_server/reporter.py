"""Tells what happens to a server in all the places that want to know: events, metrics, state file."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from maas_core.events import EventLog
from maas_server.metrics import SupervisorMetrics
from maas_server.reasons import explain_failure
from maas_server.state_file import ServeState, StateFile


class Reporter:
    """Every method may be called from any thread.

    Args:
        events: the lines on the terminal, or for a program.
        metrics: the counters for Prometheus.
        state: what the state file tells.
    """

    def __init__(self, events: EventLog, metrics: SupervisorMetrics, state: ServeState) -> None:
        self.events = events
        self.metrics = metrics
        self.state = state
        self._file = StateFile(state.view)
        self._lock = threading.Lock()

    def phase(self, phase: str) -> None:
        """What the supervisor is doing now."""
        with self._lock:
            self.state.phase = phase
            self.metrics.up.set(phase in ("serving", "draining"))
            self._file.write(self.state)

    def triton_started(self, pid: int) -> None:
        """A ``tritonserver`` answers."""
        with self._lock:
            self.state.triton_pid = pid
            self.state.triton_since = _now()
            self._file.write(self.state)

    def serving(self, models: Mapping[str, list[int]], failed: Mapping[str, str]) -> None:
        """What is ready, and what should be and is not."""
        with self._lock:
            now = _now()
            unchanged = {m: at for m, at in self.state.since.items() if self.state.models.get(m) == models.get(m)}
            self.state.since = {model: unchanged.get(model, now) for model in models}
            self.state.models = dict(models)
            self.state.failed = dict(failed)
            self.metrics.failed_models.set(len(failed))
            self._file.write(self.state)

    def stub_fault(self, model: str, instance: str, fault: str) -> None:
        """A stub died or was stopped."""
        with self._lock:
            self.metrics.stub_deaths.labels(model, fault).inc()
            self.state.stub_deaths[model] = self.state.stub_deaths.get(model, 0) + 1
            self._file.write(self.state)
        did = "died" if fault == "dead" else "was stopped, so it was killed"
        words = f"{model}: the process of instance {instance} {did}; loading the model anew"
        self.events.tell("stub_fault", words, model=model, instance=instance, fault=fault)

    def reloaded(self, model: str, took_s: float) -> None:
        """A model whose stub had died answers again."""
        with self._lock:
            self.metrics.reloads.labels(model).inc()
            self.state.reloads[model] = self.state.reloads.get(model, 0) + 1
            self._file.write(self.state)
        self.events.tell("reloaded", f"{model}: loaded anew in {took_s:.1f} s", model=model, took_s=round(took_s, 3))

    def load_failed(self, model: str, reason: str) -> None:
        """A model did not load."""
        words = f"{model} does not load: {explain_failure(reason)}"
        self.events.tell("load_failed", words, model=model, reason=reason)

    def start_timed_out(self, loading: frozenset[str], after_s: float) -> None:
        """A server that was still loading is given up and started again."""
        names = ", ".join(sorted(loading))
        words = f"still loading after {after_s:g} s: {names}; starting tritonserver again; a second time it is left out"
        self.events.tell("start_timed_out", words, models=sorted(loading), after_s=after_s)

    def left_out(self, model: str, reason: str) -> None:
        """A model is not started again."""
        words = f"{model} is left out: {reason}; the others serve on; mend it and restart (see `maas explain {model}`)"
        self.events.tell("left_out", words, model=model, reason=reason)

    def triton_ended(self, how: str, loading: frozenset[str], delay_s: float) -> None:
        """The whole server ended; it is started again after ``delay_s``."""
        with self._lock:
            self.metrics.restarts.inc()
            self.state.restarts += 1
            self._file.write(self.state)
        during = f" while loading {', '.join(sorted(loading))}" if loading else ""
        after = f" in {delay_s:g} s" if delay_s else ""
        words = f"tritonserver ended ({how}){during}; starting it again{after}"
        self.events.tell("triton_ended", words, how=how, loading=sorted(loading), delay_s=delay_s)

    def triton_back(self, down_s: float) -> None:
        """The server and its models are back."""
        words = f"tritonserver is back after {down_s:.1f} s"
        self.events.tell("triton_back", words, down_s=round(down_s, 3), models=self.state.models)

    def close(self) -> None:
        """Nothing is served any more."""
        with self._lock:
            self._file.remove()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
