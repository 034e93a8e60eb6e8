"""A stable server, a gateway before it and rollouts behind it, all by the commands that an operator types."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.campaigns.versions import MODEL, make_version

_STOP_TIMEOUT_S = 60.0
_ROLLOUT_TIMEOUT_S = 400.0


@dataclass(frozen=True)
class Stack:
    """What runs.

    Attributes:
        work: a folder of its own, with ``model_repository`` and ``build``.
        http: ``HOST:PORT`` of the gateway; it takes gRPC on the same.
        first: the version that served first.
    """

    work: Path
    http: str
    first: int

    @property
    def journal(self) -> Path:
        """Of the model's rollouts."""
        return self.work / "build" / "state" / "rollouts" / f"{MODEL}.jsonl"

    def rollout(self, bundle: Path, weights: str, interval_s: float, *options: str) -> subprocess.CompletedProcess[str]:
        """Takes a bundle through a whole rollout."""
        command = ["rollout", "start", MODEL, "--bundle", str(bundle), "--repository", "model_repository"]
        command += ["--steps", weights, "--interval", f"{interval_s:g}s", "--json", *options]
        return run(self.work, *command)


def run(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of ours, in the folder of the campaign."""
    return subprocess.run(
        [sys.executable, "-m", "maas_core", *arguments],
        capture_output=True,
        text=True,
        timeout=_ROLLOUT_TIMEOUT_S,
        check=False,
        cwd=work,
        env=_environment(work),
    )


@contextmanager
def stack() -> Iterator[Stack]:
    """Runs all of it over version 1, a good one with the factor 1."""
    with ExitStack() as running:
        work = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True)))
        running.callback(_stop_candidates, work)
        published = run(work, "publish", str(make_version(work / "bundles", 0, factor=1)), "--json")
        if published.returncode:
            raise RuntimeError(published.stderr)
        first = json.loads(published.stdout)["version"]
        ports = ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0"]
        server = running.enter_context(_started(work, "serve", *ports))
        stable = [server[name].partition("://")[2] for name in ("http", "grpc")]
        addresses = ["--stable-http", stable[0], "--stable-grpc", stable[1]]
        gateway = running.enter_context(_started(work, "gateway", "--port", "0", "--no-keys", *addresses))
        yield Stack(work, gateway["url"].partition("://")[2], first)


def _stop_candidates(work: Path) -> None:
    """A candidate outlives the rollout that started it: one that was interrupted has left it."""
    for path in (work / "build" / "state" / "serve").glob("candidate-*.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(path.read_bytes())["pid"], signal.SIGTERM)


@contextmanager
def _started(work: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """A command that runs until the block ends; yields what it says when it is ready."""
    log = work / f"{arguments[0]}.log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "maas_core", *arguments, "--json", "--stop-on-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            cwd=work,
            env=_environment(work),
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready = _ready(process.stdout, log)
        # Later events are read away, so that a full pipe never holds it up.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield ready
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(lines: Any, log: Path) -> dict[str, Any]:
    for line in lines:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "ready":
            return event
    raise RuntimeError(f"did not start: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _environment(work: Path) -> dict[str, str]:
    return {**os.environ, "MAAS_BUILD": str(work / "build")}


def table(title: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of text."""
    lines = [[str(cell) for cell in row] for row in (title, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(title))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
