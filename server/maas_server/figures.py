"""What Triton's statistics say about each served version, in words.

Source: Triton's statistics extension (``/v2/models/stats``): counts since the version was loaded, durations in
nanoseconds. ``inference_count`` counts samples, ``execution_count`` runs of the model, ``success.count`` requests, also
those that the response cache answered (``cache_hit.count``), which neither of the first two counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_MERGES = 1.1
"""From this many requests in one execution on, batching is at work and not chance."""
_FEW = 20
"""Fewer requests say nothing about batching."""
_LONE_QUEUE_SHARE = 0.2
"""One synchronous caller never waits for another: its requests spend next to no time in the queue."""


@dataclass(frozen=True)
class Figures:
    """One version of one model.

    Attributes:
        requests: answered since it was loaded.
        failures: requests answered with an error.
        samples_per_execution: how large batches really are; 0 where nothing ran.
        requests_per_execution: how many requests share one run of the model, those that the response cache answered not
            counted; 0 where nothing ran.
        mean_ms: mean time of a request inside the server.
        queue_share: the part of that time spent waiting, 0 to 1.
        batching: how batches form, in words.
    """

    model: str
    version: int
    requests: int
    failures: int
    samples_per_execution: float
    requests_per_execution: float
    mean_ms: float
    queue_share: float
    batching: str

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def figures_of(entry: Mapping[str, Any], *, dynamic_batching: bool, max_batch_size: int, is_ensemble: bool) -> Figures:
    """The figures of one version.

    Args:
        entry: its entry in Triton's statistics.
        dynamic_batching: whether its configuration has a dynamic batcher.
        max_batch_size: of its configuration; 0 where it takes no batch.
        is_ensemble: whether it only passes requests on.
    """
    inference = entry["inference_stats"]
    requests, executions = _count(inference["success"]), int(entry.get("execution_count", 0))
    total_ns, queue_ns = _ns(inference["success"]), _ns(inference["queue"])
    executed = requests - _count(inference.get("cache_hit", {}))
    samples = int(entry.get("inference_count", 0)) / executions if executions else 0.0
    merged = executed / executions if executions else 0.0
    queue_share = queue_ns / total_ns if total_ns else 0.0
    if is_ensemble:
        batching = "an ensemble: its steps batch"
    elif executed < _FEW:
        batching = "too few requests to tell"
    else:
        batching = _batching(samples, merged, queue_share, dynamic_batching=dynamic_batching, can=max_batch_size > 1)
    return Figures(
        model=str(entry["name"]),
        version=int(entry["version"]),
        requests=requests,
        failures=_count(inference["fail"]),
        samples_per_execution=samples,
        requests_per_execution=merged,
        mean_ms=total_ns / requests / 1e6 if requests else 0.0,
        queue_share=queue_share,
        batching=batching,
    )


def _batching(samples: float, merged: float, queue_share: float, *, dynamic_batching: bool, can: bool) -> str:
    if merged >= _MERGES:
        return f"batching works: {samples:.1f} per execution"
    sent = f"; clients send {samples:.1f} at a time" if samples >= _MERGES else ""
    if not can:
        return "no batching: the model takes one sample at a time"
    if not dynamic_batching:
        return f"no batching: the configuration has no dynamic_batching{sent}"
    if queue_share < _LONE_QUEUE_SHARE:
        return f"no batching: one synchronous caller{sent}"
    return f"no batching, though requests wait: give it more instances or a queue delay{sent}"


def _count(duration: Mapping[str, Any]) -> int:
    return int(duration.get("count", 0))


def _ns(duration: Mapping[str, Any]) -> int:
    return int(duration.get("ns", 0))
