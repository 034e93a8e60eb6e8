"""Starting ``maas serve`` as a subprocess: how a stage that needs a running server gets one, without importing it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    command += ["--models", ",".join(models)] if models is not None else []
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield _wait_ready(process)
    finally:
        _stop(process)


def _wait_ready(process: subprocess.Popen[str]) -> Served:
    assert process.stdout is not None  # noqa: S101  # both are pipes by construction
    for line in process.stdout:
        event = json.loads(line)
        if event.get("event") == "ready":
            return Served(
                http=event["http"],
                grpc=event["grpc"],
                models=event["models"],
                failed=event["failed"],
                startup_s=event["startup_s"],
            )
    assert process.stderr is not None  # noqa: S101  # as above
    words = process.stderr.read().strip().splitlines()
    raise MaasError(f"the server did not start: {words[-1] if words else 'it said nothing'}", "try `maas doctor`")


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None  # noqa: S101  # a pipe by construction
    process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
