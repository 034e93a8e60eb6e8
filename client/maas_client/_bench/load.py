"""Closed-loop load: so many callers, each of which sends its next request when the last one is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maas_client._base import Via
from maas_client._client import Client
from maas_client._sequence import Sequence as OpenSequence
from maas_client._spec import ModelSpec
from maas_client.errors import MaasClientError

Shot = Callable[[], tuple[int, int]]
"""One request; returns how many answers came, and how many rows it had."""
_STEPS_OF_A_SEQUENCE = 32
_MOST_ERRORS = 100
"""A caller that failed so often has nothing more to say."""


@dataclass(frozen=True, slots=True)
class Level:
    """What so many callers saw together.

    Attributes:
        concurrency: callers.
        requests: those that were answered.
        errors: those that were not.
        elapsed_s: from the first request to the last answer.
        requests_per_s: answered requests.
        samples_per_s: rows of them.
        answers_per_s: answers; more than requests where a model streams.
        mean_ms: latency, from before a request is built until its last answer is decoded.
        p50_ms: likewise.
        p90_ms: likewise.
        p99_ms: likewise.
        first_error: the first failure in words, or "".
    """

    concurrency: int
    requests: int
    errors: int
    elapsed_s: float
    requests_per_s: float
    samples_per_s: float
    answers_per_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    first_error: str = ""


@dataclass(slots=True)
class _Seen:
    latencies_s: list[float] = field(default_factory=list)
    answers: int = 0
    rows: int = 0
    errors: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Aim:
    """What is called, and with what.

    Attributes:
        requests: take turns.
    """

    spec: ModelSpec
    requests: Sequence[Any]
    model_version: int | None = None
    via: Via = None

    @contextmanager
    def shots(self, client: Client, number: int) -> Iterator[Shot]:
        """What caller ``number`` repeats."""
        model, version, turn = self.spec.name, self.model_version, number - 1

        def next_request() -> Any:
            nonlocal turn
            turn += 1
            return self.requests[turn % len(self.requests)]

        def stream() -> tuple[int, int]:
            request = next_request()
            return sum(1 for _ in client.stream(model, request, model_version=version)), self._rows(request)

        def infer() -> tuple[int, int]:
            request = next_request()
            client.infer(model, request, model_version=version, via=self.via)
            return 1, self._rows(request)

        if not self.spec.sequence:
            yield stream if self.spec.decoupled else infer
            return
        steps = _Steps(client, model, version)
        yield lambda: (steps.infer(next_request()), 1)
        steps.end()

    def _rows(self, request: Mapping[str, Any]) -> int:
        if not self.spec.max_batch_size:
            return 1
        return next((len(value) for value in request.values() if np.ndim(value)), 1)


class _Steps:
    """Sequences one after another, of a fixed length each."""

    def __init__(self, client: Client, model: str, version: int | None) -> None:
        self._begin: Callable[[], OpenSequence] = lambda: client.sequence(model, model_version=version)
        self._sequence = self._begin()
        self._done = 0

    def infer(self, request: Any) -> int:
        self._done += 1
        is_last = self._done % _STEPS_OF_A_SEQUENCE == 0
        try:
            self._sequence.infer(request, last=is_last)
        except MaasClientError:
            self._sequence = self._begin()
            self._done = 0
            raise
        if is_last:
            self._sequence = self._begin()
        return 1

    def end(self) -> None:
        # Nothing is measured any more, and the server drops an idle sequence by itself.
        with suppress(MaasClientError):
            self._sequence.end()


def measure(client: Client, aim: Aim, concurrency: int, *, warmup_s: float, seconds: float) -> Level:
    """Lets so many callers work for ``seconds``, after ``warmup_s`` that do not count."""
    everybody = [_Seen() for _ in range(concurrency)]
    barrier, stop = threading.Barrier(concurrency + 1), threading.Event()

    def work(number: int, seen: _Seen) -> float:
        with aim.shots(client, number) as shot, _aborting(barrier, stop):
            _repeat(shot, time.monotonic() + warmup_s, _Seen(), stop)
            barrier.wait()
            _repeat(shot, time.monotonic() + seconds, seen, stop)
            return time.monotonic()

    with ThreadPoolExecutor(concurrency) as pool, _aborting(barrier, stop):
        ended = [pool.submit(work, number, seen) for number, seen in enumerate(everybody)]
        # Where a caller broke down, its own error below tells why.
        with suppress(threading.BrokenBarrierError):
            barrier.wait()
        started = time.monotonic()
        ended_at = max(future.result() for future in ended)
    return _level(everybody, ended_at - started)


@contextmanager
def _aborting(barrier: threading.Barrier, stop: threading.Event) -> Iterator[None]:
    """Lets nobody wait for a caller that broke down, and all end when the user wants it (Ctrl-C)."""
    try:
        yield
    except BaseException:
        stop.set()
        barrier.abort()
        raise


def _repeat(shot: Shot, until: float, seen: _Seen, stop: threading.Event) -> None:
    while not stop.is_set():
        started = time.perf_counter()
        try:
            answers, rows = shot()
        except MaasClientError as error:
            seen.errors.append(error.message)
        else:
            seen.latencies_s.append(time.perf_counter() - started)
            seen.answers += answers
            seen.rows += rows
        if time.monotonic() >= until or len(seen.errors) >= _MOST_ERRORS:
            return


def _level(everybody: Sequence[_Seen], elapsed_s: float) -> Level:
    latencies_ms = 1e3 * np.concatenate([np.array(seen.latencies_s, np.float64) for seen in everybody])
    errors = [error for seen in everybody for error in seen.errors]
    count = len(latencies_ms)
    p50_ms, p90_ms, p99_ms = np.percentile(latencies_ms, [50, 90, 99]).tolist() if count else (0.0, 0.0, 0.0)
    return Level(
        concurrency=len(everybody),
        requests=count,
        errors=len(errors),
        elapsed_s=elapsed_s,
        requests_per_s=count / elapsed_s,
        samples_per_s=sum(seen.rows for seen in everybody) / elapsed_s,
        answers_per_s=sum(seen.answers for seen in everybody) / elapsed_s,
        mean_ms=float(latencies_ms.mean()) if count else 0.0,
        p50_ms=p50_ms,
        p90_ms=p90_ms,
        p99_ms=p99_ms,
        first_error=errors[0] if errors else "",
    )
