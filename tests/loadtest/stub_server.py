"""A KServe v2 server of known delays, in a process of its own that can be frozen: what load generators are tested with.

``python -m tests.loadtest.stub_server --delay-ms 10`` prints one JSON line with its addresses, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import grpc

from tests.loadtest.stub_grpc import GrpcStub
from tests.loadtest.stub_http import Heads, HttpStub
from tests.loadtest.stub_model import MODEL, Delays, StubModel

ROOT = Path(__file__).parents[2]
_STOP_TIMEOUT_S = 10.0
_BACKLOG = 1024
_POLL_S = 0.05

__all__ = ["MODEL", "Stub", "stub_server"]


@dataclass(frozen=True)
class Stub:
    """A running stub server.

    Attributes:
        http: e.g. "http://127.0.0.1:40001".
        grpc: e.g. "grpc://127.0.0.1:40002".
        pid: of its process.
    """

    http: str
    grpc: str
    pid: int

    def requests(self) -> int:
        """How many requests it has taken so far, by its own statistics."""
        with urllib.request.urlopen(f"{self.http}/v2/models/{MODEL}/stats", timeout=30) as answer:  # noqa: S310  # http
            counts = json.loads(answer.read())["model_stats"][0]["inference_stats"]
        return int(counts["success"]["count"])

    def freeze(self, seconds: float) -> float:
        """Stops the process, as a long garbage collection or a stalled disk would; for how long it was in the end."""
        os.kill(self.pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        try:
            time.sleep(seconds)
        finally:
            os.kill(self.pid, signal.SIGCONT)
        return time.monotonic() - stopped_at

    @contextmanager
    def freezing(self, after_requests: int, seconds: float) -> Iterator[list[float]]:
        """Freezes once, when so many requests have come since the start of the block.

        Yields:
            A list that gets the true length of the freeze in seconds.
        """
        lengths_s: list[float] = []
        ended = threading.Event()
        wanted = self.requests() + after_requests

        def watch() -> None:
            while not ended.wait(_POLL_S):
                if self.requests() >= wanted:
                    lengths_s.append(self.freeze(seconds))
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield lengths_s
        finally:
            ended.set()
            watcher.join()


@contextmanager
def stub_server(**options: float | str) -> Iterator[Stub]:
    """Starts one; ``options`` are those of the command line, e.g. ``delay_ms=10, instances=1``."""
    command = [sys.executable, "-m", "tests.loadtest.stub_server"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the stub server did not start: {' '.join(command)}")
        yield Stub(**json.loads(line))
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _serve(model: StubModel) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(stop.set)), daemon=True).start()
    heads: Heads = {}
    http_server = await loop.create_server(lambda: HttpStub(model, heads), "127.0.0.1", 0, backlog=_BACKLOG)
    grpc_server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    grpc_server.add_generic_rpc_handlers((GrpcStub(model).handlers(),))
    grpc_port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    http_port = http_server.sockets[0].getsockname()[1]
    ready = {"http": f"http://127.0.0.1:{http_port}", "grpc": f"grpc://127.0.0.1:{grpc_port}", "pid": os.getpid()}
    click.echo(json.dumps(ready))
    await stop.wait()
    http_server.close()
    await grpc_server.stop(0)


@click.command()
@click.option("--delay-ms", default=0.0, show_default=True, help="Of every answer.")
@click.option("--slow-ms", default=0.0, show_default=True, help="Of every --slow-every-th answer instead.")
@click.option("--slow-every", default=0, show_default=True)
@click.option("--instances", default=0, show_default=True, help="Requests at a time; 0 for any number.")
@click.option("--error-every", default=0, show_default=True, help="Every so many requests get an error.")
@click.option("--wrong-every", default=0, show_default=True, help="Every so many answers are wrong.")
@click.option("--versions", default="1", show_default=True, help="That are ready, e.g. 1,2.")
def main(
    delay_ms: float,
    slow_ms: float,
    slow_every: int,
    instances: int,
    error_every: int,
    wrong_every: int,
    versions: str,
) -> None:
    """Serves the model "stub" over HTTP and gRPC on free ports of 127.0.0.1 until stdin ends."""
    delays = Delays(delay_ms / 1e3, slow_ms / 1e3, slow_every, instances)
    model = StubModel(delays, error_every=error_every, wrong_every=wrong_every, versions=versions.split(","))
    # epoll waits in whole milliseconds, select in microseconds: so are the delays what was asked for.
    selector = selectors.SelectSelector() if delay_ms or slow_ms else selectors.DefaultSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        runner.run(_serve(model))


if __name__ == "__main__":
    main()
