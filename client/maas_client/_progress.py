"""A progress bar for people who watch."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """Counts samples on a terminal; nowhere else.

    Args:
        what: what is being done.
        samples: their number is told where it is known.
        show: None shows it where standard error is a terminal.
    """

    def __init__(self, what: str, samples: Iterable[object], show: bool | None) -> None:
        self._what = what
        self._total = len(samples) if isinstance(samples, Sized) else None
        self._show = sys.stderr.isatty() if show is None else show
        self._progress: Progress | None = None

    def __enter__(self) -> Bar:
        if self._show:
            # Imported here: most programs never show a bar.
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True, force_terminal=True), transient=True)
            self._progress.start()
            self._task = self._progress.add_task(self._what, total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self) -> None:
        """One more is done."""
        if self._progress is not None:
            self._progress.advance(self._task)
