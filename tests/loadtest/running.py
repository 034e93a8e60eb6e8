"""``maas load run`` as a user starts it, and what it left."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maas_loadtest.report_model import LoadReport, read_report
from tests.conftest import ROOT

TIMEOUT_S = 120
SHORT = ("--duration", "3", "--warmup", "0.3", "--min-duration", "3", "--min-requests", "20")
"""Long enough for five windows of half a second each; what a busy machine spoils is not asserted."""


@dataclass(frozen=True)
class Ran:
    """How it ended."""

    code: int
    out: str
    error: str
    folder: Path

    @property
    def report(self) -> LoadReport:
        return read_report(self.folder)

    @property
    def reasons(self) -> str:
        return "\n".join(self.report.verdict.reasons)

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


def command(folder: Path, *arguments: str | Path) -> list[str]:
    return [
        sys.executable, "-m", "maas_core", "load", "run", *map(str, arguments), "--report", str(folder), "--json"
    ]  # fmt: skip


def load(folder: Path, *arguments: str | Path) -> Ran:
    """Runs to the end."""
    ended = subprocess.run(
        command(folder, *arguments), capture_output=True, text=True, timeout=TIMEOUT_S, cwd=ROOT, check=False
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr, folder)


@contextmanager
def loading(folder: Path, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Runs meanwhile; whatever is left of it is ended."""
    process = subprocess.Popen(
        command(folder, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=TIMEOUT_S)


def locusts_of(process: subprocess.Popen[str]) -> list[int]:
    """The process ids of Locust: the one that plans, then its workers."""
    first = _children(process.pid)
    return [*first, *(child for one in first for child in _children(one))]


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]
