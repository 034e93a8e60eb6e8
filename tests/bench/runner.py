"""The measuring itself: rounds, in each everybody in turn, freshly started, checked, warmed up and loaded."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

import click
import numpy as np
from tritonclient.utils import InferenceServerException

from bench import inprocess
from bench.check import check
from bench.load_programs import wrk
from bench.load_programs.perf_analyzer import PerfAnalyzer
from bench.load_programs.result import Load
from bench.machine import Watch, private_bytes, quiet, watch
from bench.models import Model
from bench.peers.peer import HTTP, SHARED_MEMORY, Peer, Running
from bench.records import IN_PROCESS, Cell, Compute, Records, Start
from maas_core.errors import MaasError

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How long and how often.

    Attributes:
        rounds: how often everybody has a turn.
        seconds: length of one measurement; of the large model three times that.
        callers: numbers of callers.
        warmup_s: load before the first measurement of a start.
        patience_s: how long one measurement waits for quiet, and is made again, while others use more of the machine
            than ``quiet_share``.
        quiet_share: share of the machine, 0 to 1.
    """

    rounds: int
    seconds: float
    callers: tuple[int, ...]
    warmup_s: float = 1.0
    patience_s: float = 10.0
    quiet_share: float = 0.08


class Runner:
    """Measures into ``records``.

    Args:
        perf_analyzer: None where it could not be had: gRPC and shared memory are left out then.
    """

    def __init__(self, settings: Settings, records: Records, perf_analyzer: PerfAnalyzer | None) -> None:
        self._settings = settings
        self._records = records
        self._perf_analyzer = perf_analyzer

    def run_turns(self, number: int, model: Model, peers: Sequence[Peer]) -> None:
        """One turn for everybody, in round ``number``."""
        self._say(f"round {number}/{self._settings.rounds}: {model.name}")
        self._compute(number, model)
        for peer in peers:
            self._turn(number, model, peer)

    def _compute(self, number: int, model: Model) -> None:
        """All layouts in the first round, hastily; then only those that came near the best, with patience."""
        layouts = inprocess.layouts(model)
        best = self._records.best_compute(model.name)
        if best is not None:
            near = {
                (e.processes, e.threads, e.batch_size)
                for e in self._records.compute
                if e.model == model.name and e.round == 1 and e.rate > 0.8 * best.rate
            }
            layouts = [one for one in layouts if (one.processes, one.threads, one.batch_size) in near]
        seconds = self._seconds(model) / 2
        for layout in layouts:
            measure = partial(inprocess.measure, model, layout, seconds)
            if best is None:
                with watch() as seen:
                    throughput = measure()
            else:
                throughput, seen, _ = self._quietly(measure)
            self._records.compute.append(
                Compute(number, model.name, **asdict(layout), **asdict(throughput), others=seen.others)
            )
        best = self._records.best_compute(model.name)
        if best is not None:
            how = f"{best.processes} × {best.threads} threads, batch {best.batch_size}"
            self._say(f"  {IN_PROCESS:24} {best.rate:10.1f}/s  {how}")

    def _turn(self, number: int, model: Model, peer: Peer) -> None:
        try:
            with peer.start(model) as running:
                if peer.computes:
                    check(model, running.ask, f"{peer.name} over HTTP")
                    if running.ask_grpc is not None:
                        check(model, running.ask_grpc, f"{peer.name} over gRPC")
                memory = private_bytes(running.pid)
                self._records.starts.append(Start(number, model.name, peer.name, running.startup_s, memory))
                for wire in self._wires(peer, model):
                    self._load(number, model, peer, wire, running)
        except (MaasError, OSError, subprocess.SubprocessError, InferenceServerException) as error:
            self._miss(f"{peer.name}, {model.name}: {str(error).strip().splitlines()[0]}")

    def _wires(self, peer: Peer, model: Model) -> Iterator[str]:
        for wire in peer.wires:
            if wire != HTTP and self._perf_analyzer is None:
                continue
            if model.stateful and wire == SHARED_MEMORY:
                # perf_analyzer gives every sequence the same region, and a step is too small to gain by it.
                continue
            yield wire

    def _load(self, number: int, model: Model, peer: Peer, wire: str, running: Running) -> None:
        counts = [count for count in self._settings.callers if count <= model.most_callers]
        self._once(model, wire, running, max(counts), self._settings.warmup_s)
        for callers in counts:
            measure = partial(self._once, model, wire, running, callers, self._seconds(model))
            load, seen, tries = self._quietly(measure, running.pid)
            answers = max(1.0, load.rate * seen.elapsed_s)
            front_us, workers_us, generator_us = (
                seconds / answers * 1e6 for seconds in (seen.front_s, seen.workers_s, seen.generator_s)
            )
            cpu_us = (front_us, workers_us, generator_us)
            cell = Cell(number, model.name, peer.name, wire, callers, load, seen.others, cpu_us, tries)
            self._records.cells.append(cell)
            latency = f"p50 {load.p50_ms:8.2f} ms  p99 {load.p99_ms:8.2f} ms"
            note = f"{f'{load.errors} errors, ' if load.errors else ''}others {seen.others:.0%}"
            self._say(f"  {peer.name:16} {wire:13} {callers:2} callers {load.rate:10.1f}/s  {latency}  {note}")

    def _once(self, model: Model, wire: str, running: Running, callers: int, seconds: float) -> Load:
        if wire != HTTP and self._perf_analyzer is not None:
            return self._perf_analyzer.run(
                running.grpc_url, model, running.served_as, callers, seconds, shared_memory=wire == SHARED_MEMORY
            )
        if model.stateful:
            return wrk.run_sequences(running.post, model.input_name, callers, seconds)
        load = wrk.run(running.post, callers, seconds, time_answers=model.slow and seconds > self._settings.warmup_s)
        if model.slow:
            # The generator leaves requests behind in the server's queue; an answer to one more says that they are done.
            running.ask(model.draw(np.random.default_rng(7)))
        return load

    def _quietly(self, measure: Callable[[], T], server: int | None = None) -> tuple[T, Watch, int]:
        """The quietest of several tries, with what else was seen, and how many tries it took."""
        found: list[tuple[T, Watch]] = []
        deadline_s = time.monotonic() + self._settings.patience_s
        while True:
            quiet(self._settings.quiet_share, deadline_s - time.monotonic())
            with watch(server) as seen:
                result = measure()
            found.append((result, seen))
            if seen.others <= self._settings.quiet_share or time.monotonic() > deadline_s:
                break
        return *min(found, key=lambda one: one[1].others), len(found)

    def _seconds(self, model: Model) -> float:
        return self._settings.seconds * (3 if model.slow else 1)

    def _miss(self, what: str) -> None:
        self._say(f"  NOT MEASURED: {what}")
        if what not in self._records.missing:
            self._records.missing.append(what)

    @staticmethod
    def _say(text: str) -> None:
        click.echo(f"{time.strftime('%H:%M:%S')} {text}")
