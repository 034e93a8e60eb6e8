"""Starting ``maas serve`` as a subprocess: how a stage that needs a running server gets one, without importing it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from maas_core.errors import MaasError

_STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        http: URL of the HTTP endpoint.
        grpc: URL of the gRPC endpoint.
        models: the versions that are ready, by model.
        failed: why a model did not load, by model.
    """

    http: str
    grpc: str
    models: dict[str, list[int]]
    failed: dict[str, str]
    startup_s: float


@contextmanager
def serve(repository: Path, *, view: str, models: Sequence[str] | None = None) -> Iterator[Served]:
    """Serves ``repository`` on free ports of 127.0.0.1 until the block ends.

    The server's stdin is a pipe from this process: it stops when the pipe closes, so also when this process is killed.

    Raises:
        MaasError: with the server's own words where it does not start.
    """
    command = [sys.executable, "-m", "maas_core", "serve", "--repository", str(repository), "--view", view]
    command += ["--http-port", "0", "--grpc-port", "0", "--metrics-port", "0", "--json", "--stop-on-eof"]
    # Who leaves the block has got all answers: there is nothing to drain.
    command += ["--drain-timeout", "0"]
    command += ["--models", ",".join(models)] if models is not None else []
    with tempfile.TemporaryFile("w+") as words:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True)
        try:
            yield _wait_ready(process, words)
        finally:
            _stop(process)


def _wait_ready(process: subprocess.Popen[str], words: IO[str]) -> Served:
    assert process.stdout is not None  # noqa: S101  # a pipe by construction
    for line in process.stdout:
        event = json.loads(line)
        if event.get("event") == "ready":
            # Later events are read away, so that a full pipe never holds the server up.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return Served(
                http=event["http"],
                grpc=event["grpc"],
                models=event["models"],
                failed=event["failed"],
                startup_s=event["startup_s"],
            )
    process.wait(_STOP_TIMEOUT_S)
    words.seek(0)
    said = words.read().strip().splitlines()
    raise MaasError(f"the server did not start: {said[-1] if said else 'it said nothing'}", "try `maas doctor`")


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None  # noqa: S101  # a pipe by construction
    process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
