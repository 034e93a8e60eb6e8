"""What the stub server serves: one model that answers with its input after delays that are known beforehand."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MODEL = "stub"
WIDTH = 4
MAX_BATCH_SIZE = 32
INPUT, OUTPUT = "x", "y"


class BadRequest(ValueError):
    """What came is no request for the model."""


@dataclass(frozen=True)
class Delays:
    """How long answers take.

    Attributes:
        delay_s: of every answer.
        slow_s: of every ``slow_every``-th answer instead; 0 for none.
        slow_every: exact, not drawn, so that percentiles are known by arithmetic.
        instances: how many requests are worked on at a time; 0 for any number. Others wait in order.
    """

    delay_s: float = 0.0
    slow_s: float = 0.0
    slow_every: int = 0
    instances: int = 0


@dataclass
class Counts:
    """What Triton's statistics would say."""

    success: int = 0
    fail: int = 0
    rows: int = 0
    queue_ns: int = 0
    infer_ns: int = 0
    by_batch_size: dict[int, tuple[int, int]] = field(default_factory=dict)


class StubModel:
    """Delays, faults and statistics; no wire.

    Args:
        error_every: every so many requests get an error; 0 for never.
        wrong_every: every so many answers are wrong; 0 for never.
        versions: that are ready; the highest answers.
        seed: of which bits are wrong.
    """

    def __init__(
        self,
        delays: Delays,
        *,
        error_every: int = 0,
        wrong_every: int = 0,
        versions: Sequence[str] = ("1",),
        seed: int = 7,
    ) -> None:
        self.delays = delays
        self.counts = Counts()
        self.versions = tuple(versions)
        self._error_every = error_every
        self._wrong_every = wrong_every
        self._random = random.Random(seed)
        self._asked = 0
        self._last_inference_ms = 0
        self._free_at_s = [0.0] * delays.instances

    def begin(self, rows: int) -> float:
        """Counts a request of ``rows`` rows; how many seconds from now its answer is due."""
        self._asked += 1
        delays = self.delays
        slow = delays.slow_every and self._asked % delays.slow_every == 0
        work_s = delays.slow_s if slow else delays.delay_s
        wait_s = self._wait(work_s) if self._free_at_s else 0.0
        self._last_inference_ms = int(time.time() * 1e3)
        counts = self.counts
        counts.success += 1
        counts.rows += rows
        counts.queue_ns += int(wait_s * 1e9)
        counts.infer_ns += int(work_s * 1e9)
        number, took_ns = counts.by_batch_size.get(rows, (0, 0))
        counts.by_batch_size[rows] = number + 1, took_ns + int(work_s * 1e9)
        return wait_s + work_s

    def fails(self) -> bool:
        """Whether the request that comes now gets an error; it is counted then."""
        if not self._error_every or (self._asked + 1) % self._error_every:
            return False
        self._asked += 1
        self.counts.fail += 1
        return True

    def answer(self, rows: bytes) -> bytes:
        """The output for the input's bytes: the same ones, but for wrong answers."""
        if not self._wrong_every or self._asked % self._wrong_every or not rows:
            return rows
        wrong = bytearray(rows)
        wrong[self._random.randrange(len(wrong) // 4) * 4 + 3] ^= 0x40
        return bytes(wrong)

    def _wait(self, work_s: float) -> float:
        now = time.monotonic()
        first = min(range(len(self._free_at_s)), key=self._free_at_s.__getitem__)
        start = max(now, self._free_at_s[first])
        self._free_at_s[first] = start + work_s
        return start - now

    def metadata(self) -> dict[str, Any]:
        """As both protocols tell it."""
        shape = {"datatype": "FP32", "shape": [-1, WIDTH]}
        return {
            "name": MODEL,
            "versions": list(self.versions),
            "platform": "stub",
            "inputs": [{"name": INPUT, **shape}],
            "outputs": [{"name": OUTPUT, **shape}],
        }

    def config(self) -> dict[str, Any]:
        """The served configuration."""
        tensor = {"data_type": "TYPE_FP32", "dims": [WIDTH]}
        return {
            "name": MODEL,
            "backend": "stub",
            "max_batch_size": MAX_BATCH_SIZE,
            "version_policy": {"specific": {"versions": [int(version) for version in self.versions]}},
            "input": [{"name": INPUT, **tensor}],
            "output": [{"name": OUTPUT, **tensor}],
            "instance_group": [{"name": MODEL, "kind": "KIND_CPU", "count": max(1, self.delays.instances)}],
        }

    def statistics(self) -> dict[str, Any]:
        """Triton's statistics extension: all of it on the newest version."""
        counts = self.counts
        none = {"count": 0, "ns": 0}

        def duration(ns: int) -> dict[str, int]:
            return {"count": counts.success, "ns": ns}

        entry = {
            "name": MODEL,
            "version": self.versions[-1],
            "last_inference": self._last_inference_ms,
            "inference_count": counts.rows,
            "execution_count": counts.success,
            "inference_stats": {
                "success": duration(counts.queue_ns + counts.infer_ns),
                "fail": {"count": counts.fail, "ns": 0},
                "queue": duration(counts.queue_ns),
                "compute_input": duration(0),
                "compute_infer": duration(counts.infer_ns),
                "compute_output": duration(0),
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [
                {
                    "batch_size": rows,
                    "compute_input": {"count": number, "ns": 0},
                    "compute_infer": {"count": number, "ns": ns},
                    "compute_output": {"count": number, "ns": 0},
                }
                for rows, (number, ns) in sorted(counts.by_batch_size.items())
            ],
        }
        return {"model_stats": [entry]}
