"""Several trainings at a time, each in a process of its own.

One training alone leaves much of a second core idle: its steps are too small to be divided well.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from maas_core.errors import MaasError
from maas_export.train import Told, TrainingRequest, train_model
from maas_export.weights import StoredWeights

_LOOK_S = 0.5


@dataclass(frozen=True)
class Trained:
    """One training that ended well.

    Attributes:
        is_new: false where equal weights were kept.
    """

    stored: StoredWeights
    is_new: bool
    duration_s: float


def train_models(models: Sequence[str], request: TrainingRequest, jobs: int) -> Iterator[Trained]:
    """Trains ``models``, ``jobs`` at a time; each comes when it is done.

    Raises:
        MaasError: of the first that failed; the others end with it and go on from their last epoch the next time.
    """
    with _bars() as bars:
        trained = (
            _in_turn(models, request, bars.tell)
            if min(jobs, len(models)) == 1
            else _at_once(models, request, jobs, bars)
        )
        for one in trained:
            with bars.away():
                yield one


def _in_turn(models: Sequence[str], request: TrainingRequest, told: Told) -> Iterator[Trained]:
    for model in models:
        yield _train(model, request, told)


def _train(model: str, request: TrainingRequest, told: Told) -> Trained:
    started = time.monotonic()
    stored, is_new = train_model(model, request, told)
    return Trained(stored, is_new, time.monotonic() - started)


def _at_once(models: Sequence[str], request: TrainingRequest, jobs: int, bars: _Bars) -> Iterator[Trained]:
    # A fork of a process in which torch has threads may hang.
    context = multiprocessing.get_context("spawn")
    said: Any = context.Queue()
    waiting = list(models)
    running: dict[str, SpawnProcess] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                model = waiting.pop(0)
                running[model] = context.Process(target=_child, args=(model, request, said), daemon=True)
                running[model].start()
            try:
                model, what = said.get(timeout=_LOOK_S)
            except queue.Empty:
                _look_for_dead(running)
                continue
            if isinstance(what, tuple):
                bars.tell(*what)
                continue
            running.pop(model).join()
            if isinstance(what, BaseException):
                raise what
            yield what
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def _look_for_dead(running: dict[str, SpawnProcess]) -> None:
    for model, process in running.items():
        if process.exitcode:
            raise MaasError(
                f"the training of {model} ended with exit code {process.exitcode}",
                "where nothing stands above: is there enough memory? `--jobs 1` needs less",
            )


def _child(model: str, request: TrainingRequest, said: Any) -> None:
    """What a process does: says (model, epoch) again and again, then (model, what came of it)."""
    # Ctrl-C reaches all processes of a terminal; the one that the user started answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        said.put((model, _train(model, request, lambda *what: said.put((model, what)))))
    except (click.ClickException, OSError) as error:
        # Raised again where the user is told. Any other ends this process, with a traceback, as it would without jobs.
        said.put((model, error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@dataclass
class _Bars:
    """A line on the terminal for each training under way; nothing where there is no terminal."""

    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)

    def tell(self, title: str, epoch: int, epochs: int, loss: float) -> None:
        """See :data:`maas_export.train.Told`."""
        words = f"{title}: loss {loss:.4f}" if epoch else f"{title}: loss -"
        if title not in self.tasks:
            self.tasks[title] = self.progress.add_task(words, total=epochs)
        self.progress.update(self.tasks[title], completed=epoch, description=words)
        if epoch == epochs:
            self.progress.remove_task(self.tasks.pop(title))

    @contextmanager
    def away(self) -> Iterator[None]:
        """The lines are gone while others write."""
        self.progress.stop()
        yield
        self.progress.start()


@contextmanager
def _bars() -> Iterator[_Bars]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(
        *columns,
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        redirect_stdout=False,
    ) as progress:
        yield _Bars(progress)
