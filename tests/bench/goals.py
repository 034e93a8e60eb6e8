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
    """

    what: str
    bound: float
    at_least: bool
    value: float | None

    @property
    def reached(self) -> bool | None:
        """None where it was not measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goals(records: Records) -> list[Goal]:
    """All, in the order of the table."""
    return [*_tiny(records), *_large(records), *_stateful(records), *_startup(records), *_memory(records)]


def ratio(above: float | None, below: float | None) -> float | None:
    """None where one of them was not measured."""
    return None if above is None or not below else above / below


def _tiny(records: Records) -> Iterator[Goal]:
    ours = records.rate(TINY, TRITON.name, HTTP, 64)
    yield Goal(
        "tiny, 64 callers, HTTP: share of the limit",
        0.76,
        True,
        ratio(ours, records.limit(TINY, NOOP_PEER.name, HTTP, 64)),
    )
    for peer, bound in ((FASTAPI, 1.3), (LITSERVE, 10.0), (BENTOML, 10.0)):
        theirs = records.rate(TINY, peer.name, HTTP, 64)
        yield Goal(f"tiny, 64 callers, HTTP: times {peer.name}", bound, True, ratio(ours, theirs))
    p50 = {peer: records.median(TINY, peer.name, HTTP, 1, lambda load: load.p50_ms) for peer in (TRITON, FASTAPI)}
    yield Goal("tiny, 1 caller, HTTP: p50 as multiple of FastAPI's", 1.2, False, ratio(p50[TRITON], p50[FASTAPI]))
    tail = records.median(TINY, TRITON.name, HTTP, 16, lambda load: load.p99_ms / load.p50_ms)
    yield Goal("tiny, 16 callers, HTTP: p99 as multiple of p50", 3.0, False, tail)


def _large(records: Records) -> Iterator[Goal]:
    compute = records.best_compute(LARGE)
    ours = records.rate(LARGE, TRITON.name, HTTP, 16)
    share = ratio(ours, compute.rate if compute else None)
    yield Goal("large, 16 callers, HTTP: share of ONNX Runtime in process", 0.95, True, share)


def _stateful(records: Records) -> Iterator[Goal]:
    for wire in TRITON.wires[:2]:
        yield Goal(
            f"LSTM, 64 sequences, {wire}: steps per second", 5_000, True, records.rate(STATEFUL, TRITON.name, wire, 64)
        )


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
