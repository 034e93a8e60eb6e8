"""What a command tells while it runs: lines for a person, or one JSON object a line for a program."""

from __future__ import annotations

import json
import queue
import threading
from datetime import UTC, datetime
from typing import Any, TextIO

_BACKLOG = 1000


class EventLog:
    """Writes events from any thread, and never makes the caller wait for a reader.

    A pipe that nobody reads fills up; the events after the first thousand that wait are then lost, not the serving.

    Args:
        stream: where to write.
        as_json: one JSON object a line, each with ``event`` and ``time``, instead of words.
    """

    def __init__(self, stream: TextIO, *, as_json: bool) -> None:
        self._stream = stream
        self._as_json = as_json
        self._lines: queue.Queue[str | None] = queue.Queue(_BACKLOG)
        self._writer = threading.Thread(target=self._write, name="events", daemon=True)
        self._writer.start()

    def tell(self, event: str, words: str, **fields: Any) -> None:
        """Tells one event.

        Args:
            event: its name, for a program.
            words: the same for a person.
            fields: its details, for a program.
        """
        now = datetime.now(UTC)
        if self._as_json:
            line = json.dumps({"event": event, "time": now.isoformat(), "message": words, **fields})
        else:
            line = f"{now.astimezone():%H:%M:%S} {words}"
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            return

    def close(self, timeout_s: float = 2.0) -> None:
        """Writes what waits, as far as the reader lets it within ``timeout_s``."""
        try:
            self._lines.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._writer.join(timeout_s)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                # The reader is gone: serving goes on without it.
                return
