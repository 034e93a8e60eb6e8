"""What is to be reached, as ratios within one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench.peers.peer import HTTP
from bench.peers.python import BENTOML, FASTAPI, LITSERVE
from bench.peers.triton import NOOP_PEER, TRITON
from bench.records import Records

TINY, LARGE, STATEFUL = "digits_cnn", "encoder", "lstm"
STARTUP_S = 3.0
MOST_OTHERS = 0.15
_COPIES = 1.15
"""One copy of the weights, and room for the padding of packed weights, the graph, and one answer's activations."""


@dataclass(frozen=True)
class Goal:
    """One goal.

    Attributes:
        what: in words.
        bound: what is wanted.
        at_least: whether ``bound`` is the least (else the most).
        value: what was found; None where it was not measured.
        by_cpu: the same ratio, of processor time instead of rates, where it is one of throughputs.
        others: the most that other programs took of the machine (0 to 1, median over the rounds) in what it is made of.
    """

    what: str
    bound: float
    at_least: bool
    value: float | None
    by_cpu: float | None = None
    others: float = 0.0

    @property
    def valid(self) -> bool:
        """False where other programs took so much of the machine that rates and latencies tell of them, not of us."""
        return self.others <= MOST_OTHERS

    @property
    def reached(self) -> bool | None:
        """None where it was not measured, or not validly."""
        if self.value is None or not self.valid:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goals(records: Records) -> list[Goal]:
    """All, in the order of the table."""
    return [*_tiny(records), *_large(records), *_stateful(records), *_startup(records), *_memory(records)]


def ratio(above: float | None, below: float | None) -> float | None:
    """None where one of them was not measured."""
    return None if above is None or not below else above / below


def _tiny(records: Records) -> Iterator[Goal]:
    at_64 = (HTTP, 64)
    ours, by_cpu = records.rate(TINY, TRITON.name, *at_64), records.capacity(TINY, TRITON.name, *at_64)
    share = ratio(ours, records.limit(TINY, NOOP_PEER.name, *at_64))
    share_by_cpu = ratio(by_cpu, records.capacity_limit(TINY, NOOP_PEER.name, *at_64))
    ours_others = records.others(TINY, TRITON.name, *at_64)
    compute = records.best_compute(TINY)
    others = max(ours_others, records.others(TINY, NOOP_PEER.name, *at_64), compute.others if compute else 0.0)
    yield Goal("tiny, 64 callers, HTTP: share of the limit", 0.76, True, share, share_by_cpu, others)
    for peer, bound in ((FASTAPI, 1.3), (LITSERVE, 10.0), (BENTOML, 10.0)):
        times = ratio(ours, records.rate(TINY, peer.name, *at_64))
        times_by_cpu = ratio(by_cpu, records.capacity(TINY, peer.name, *at_64))
        others = max(ours_others, records.others(TINY, peer.name, *at_64))
        yield Goal(f"tiny, 64 callers, HTTP: times {peer.name}", bound, True, times, times_by_cpu, others)
    p50 = {peer: records.median(TINY, peer.name, HTTP, 1, lambda load: load.p50_ms) for peer in (TRITON, FASTAPI)}
    others = max(records.others(TINY, peer.name, HTTP, 1) for peer in (TRITON, FASTAPI))
    yield Goal(
        "tiny, 1 caller, HTTP: p50 as multiple of FastAPI's",
        1.2,
        False,
        ratio(p50[TRITON], p50[FASTAPI]),
        others=others,
    )
    tail = records.median(TINY, TRITON.name, HTTP, 16, lambda load: load.p99_ms / max(load.p50_ms, 1e-3))
    yield Goal(
        "tiny, 16 callers, HTTP: p99 as multiple of p50",
        3.0,
        False,
        tail,
        others=records.others(TINY, TRITON.name, HTTP, 16),
    )


def _large(records: Records) -> Iterator[Goal]:
    compute = records.best_compute(LARGE)
    share = ratio(records.rate(LARGE, TRITON.name, HTTP, 16), compute.rate if compute else None)
    cpu_us = records.cpu_us(LARGE, TRITON.name, HTTP, 16)
    share_by_cpu = ratio(records.compute_cpu_us(LARGE), sum(cpu_us) if cpu_us else None)
    others = max(records.others(LARGE, TRITON.name, HTTP, 16), compute.others if compute else 0.0)
    yield Goal("large, 16 callers, HTTP: share of ONNX Runtime in process", 0.95, True, share, share_by_cpu, others)


def _stateful(records: Records) -> Iterator[Goal]:
    for wire in TRITON.wires[:2]:
        steps = records.rate(STATEFUL, TRITON.name, wire, 64)
        by_cpu = records.capacity(STATEFUL, TRITON.name, wire, 64)
        others = records.others(STATEFUL, TRITON.name, wire, 64)
        yield Goal(f"LSTM, 64 sequences, {wire}: steps per second", 5_000, True, steps, by_cpu, others)


def _startup(records: Records) -> Iterator[Goal]:
    for models, seconds in records.three_models_s.items():
        yield Goal(f"`maas serve` ready with {models} (s)", STARTUP_S, False, median(seconds))


def _memory(records: Records) -> Iterator[Goal]:
    yield Goal("large: copies of the weights in an instance", _COPIES, False, weight_copies(records, TRITON.name))


def weight_copies(records: Records, peer: str) -> float | None:
    """Copies of the large model's weights in the largest process: what it holds beyond the tiny model's largest."""
    large, tiny = records.instance_bytes(LARGE, peer), records.instance_bytes(TINY, peer)
    if not large or not tiny:
        return None
    return (large[0] - tiny[0]) / (records.weights_bytes[LARGE] - records.weights_bytes[TINY])
