"""Rollouts as Prometheus metrics, from the same document as the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_VERDICTS = {"back": 0.0, "hold": 1.0, "go": 2.0}
_OUTCOMES = ("promoted", "rolled back")


class _Collector:
    def __init__(self, document: Mapping[str, Any]) -> None:
        self._rollouts = document["rollouts"]

    def collect(self) -> Iterator[Metric]:
        readable = [rollout for rollout in self._rollouts if "error" not in rollout]
        damaged = GaugeMetricFamily(
            "maas_rollout_journal_unreadable", "Whether the journal of a model cannot be read", labels=["model"]
        )
        for rollout in self._rollouts:
            damaged.add_metric([rollout["model"]], float("error" in rollout))
        yield damaged
        for name, what, value in (
            ("active", "Whether a rollout has not ended", lambda r: not r["outcome"]),
            ("process", "Whether a process works on it", lambda r: r["process"]),
            ("paused", "Whether it is paused", lambda r: r["paused"]),
            ("going_back", "Whether it is on its way back", lambda r: not r["outcome"] and r["direction"] == "back"),
            ("weight_percent", "Share of the callers that the candidate answers", lambda r: r["percent"]),
            ("mirror_percent", "Share of the requests that are mirrored", lambda r: r["mirror_percent"]),
        ):
            family = GaugeMetricFamily(f"maas_rollout_{name}", what, labels=["model"])
            for rollout in readable:
                family.add_metric([rollout["model"]], float(value(rollout)))
            yield family
        yield from self._labelled(readable)

    def _labelled(self, readable: list[Mapping[str, Any]]) -> Iterator[Metric]:
        gates = GaugeMetricFamily(
            "maas_rollout_gate", "What a gate says: 0 back, 1 hold, 2 go", labels=["model", "gate"]
        )
        ended = CounterMetricFamily(
            "maas_rollout_ended", "Rollouts that ended, by their journal", labels=["model", "outcome"]
        )
        for rollout in readable:
            for gate in rollout["gates"] if not rollout["outcome"] else []:
                gates.add_metric([rollout["model"], gate["name"]], _VERDICTS[gate["verdict"]])
            for outcome in _OUTCOMES:
                ended.add_metric([rollout["model"], outcome], float(rollout["outcomes"].get(outcome, 0)))
        yield gates
        yield ended


def metrics_text(document: Mapping[str, Any]) -> bytes:
    """A snapshot (:class:`maas_rollout.views.snapshot.Watcher`) in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(document))
    return generate_latest(registry)
