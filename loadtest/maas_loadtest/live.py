"""The live table of a run: how far it is and what it has seen so far, on a terminal; nothing where there is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_NARROW_COLUMNS = 72


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One model's figures so far, or all models' together.

    Attributes:
        name: of the model, or what else the row is about.
        offered_per_s: scheduled requests per second of the last interval; in a closed loop those that were sent.
        answered_per_s: answers per second of the last interval.
        p50_us: response time of the last interval; None where nothing was answered.
        p99_us: likewise.
        answered: since the start.
        errors: since the start.
        dropped: since the start.
        in_flight: under way now.
    """

    name: str
    offered_per_s: float
    answered_per_s: float
    p50_us: float | None
    p99_us: float | None
    answered: int
    errors: int
    dropped: int
    in_flight: int


class LiveTable:
    """A table with a progress bar that is drawn anew with each :meth:`update`; a context manager.

    Args:
        title: what runs, e.g. "server: digits_cnn at 200/s, Poisson".
        duration_s: how long it will take; 0 where that is not known.
        stream: where to draw; nothing is drawn unless it is a terminal.
    """

    def __init__(self, title: str, duration_s: float, stream: TextIO | None = None) -> None:
        self._title = title
        self._duration_s = duration_s
        self._console = Console(file=stream or sys.stderr)
        # No thread of its own: the run draws when it has new figures, also under gevent.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    @property
    def shown(self) -> bool:
        """Whether there is a terminal, so that figures are worth collecting."""
        return self._console.is_terminal

    def update(self, elapsed_s: float, rows: Sequence[LiveRow], note: str = "") -> None:
        """Draws.

        Args:
            elapsed_s: since the measurement began; negative while it warms up.
            rows: one for each model.
            note: what else is to be seen, e.g. the generator's load.
        """
        if self.shown:
            self._live.update(self._view(elapsed_s, rows, note), refresh=True)

    def _view(self, elapsed_s: float, rows: Sequence[LiveRow], note: str) -> Group:
        head = Text(self._title, style="bold")
        clock = f"warm-up, {-elapsed_s:.0f} s to go" if elapsed_s < 0 else f"{elapsed_s:.0f} s"
        if elapsed_s >= 0 and self._duration_s:
            clock += f" of {self._duration_s:.0f} s"
        bar = ProgressBar(total=self._duration_s or None, completed=max(0.0, elapsed_s), width=30)
        line = Table.grid(padding=(0, 2))
        line.add_row(bar, clock, Text(note, style="dim"))
        return Group(head, line, self._table(rows))

    def _table(self, rows: Sequence[LiveRow]) -> Table:
        narrow = self._console.width < _NARROW_COLUMNS
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("", overflow="ellipsis", no_wrap=True)
        names = ["offered/s", "answered/s", "p50 ms", "p99 ms", "errors", "dropped"]
        names += [] if narrow else ["answered", "under way"]
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            cells = [f"{row.offered_per_s:,.0f}", f"{row.answered_per_s:,.0f}", _ms(row.p50_us), _ms(row.p99_us)]
            cells += [_alarm(row.errors), _alarm(row.dropped)]
            cells += [] if narrow else [f"{row.answered:,}", f"{row.in_flight:,}"]
            table.add_row(Text(row.name), *cells)
        return table

    def __enter__(self) -> Self:
        if self.shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self._live.stop()


def _ms(latency_us: float | None) -> str:
    return "–" if latency_us is None else f"{latency_us / 1e3:,.2f}"


def _alarm(count: int) -> str:
    return f"[bold red]{count:,}[/]" if count else "0"
