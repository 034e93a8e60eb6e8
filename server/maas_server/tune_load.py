"""A small closed-loop load generator over HTTP: N callers that each send the next request when the last is answered.

It runs as a process of its own, ``python -m maas_server.tune_load BODIES``, so that it never waits for the search, and
sends prepared bytes from one epoll loop, so that it costs less than the server. It says what a server can carry with N
callers; how long requests take that *arrive* at a given rate is another question (open loop) and not answered here.

Commands come as JSON, one a line, on stdin, and each is answered by one line on stdout. It ends with its stdin.
"""

from __future__ import annotations

import base64
import gc
import itertools
import json
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_RECEIVE_BYTES = 1 << 18
_CALL_TIMEOUT_S = 30.0
_LENGTH_FIELD = b"content-length:"


class _Caller:
    """One connection with one request under way."""

    def __init__(self, address: tuple[str, int], requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(address, timeout=_CALL_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._requests = requests
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._wanted_bytes: int | None = None
        self.sent_at = 0.0

    def begin(self) -> None:
        """Starts the next request."""
        self._unsent = memoryview(next(self._requests))
        self._received.clear()
        self._wanted_bytes = None
        self.sent_at = time.perf_counter()
        self.send()

    def send(self) -> bool:
        """Sends what the socket takes; whether all is sent."""
        while self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return False
        return True

    def receive(self) -> bytes | None:
        """The whole answer, once it is there."""
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
        if self._wanted_bytes is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._wanted_bytes = end + 4 + _content_length(bytes(self._received[:end]))
        return bytes(self._received) if len(self._received) >= self._wanted_bytes else None


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n")[1:]:
        if line.startswith(_LENGTH_FIELD):
            return int(line[len(_LENGTH_FIELD) :])
    raise ConnectionError("the answer has no Content-Length")


class _Window:
    """Latencies and errors between two moments."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.errors = 0
        self.first_error = ""

    def note(self, answer: bytes, latency_s: float) -> None:
        if answer.startswith(b"HTTP/1.1 200"):
            self.latencies_ms.append(latency_s * 1e3)
            return
        self.errors += 1
        if not self.first_error:
            self.first_error = answer[:400].decode(errors="replace")

    def summary(self, elapsed_s: float) -> dict[str, Any]:
        ordered = sorted(self.latencies_ms)
        return {
            "requests": len(ordered),
            "errors": self.errors,
            "first_error": self.first_error,
            "requests_per_s": len(ordered) / elapsed_s,
            "latency_ms": {f"p{share}": _percentile(ordered, share) for share in (50, 90, 95, 99)},
        }


def _percentile(ordered: list[float], share: int) -> float:
    """The smallest value that ``share`` percent do not exceed; infinity where there is none."""
    if not ordered:
        return float("inf")
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def run_window(
    address: tuple[str, int], requests: Iterator[bytes], *, callers: int, warm_up_s: float, duration_s: float
) -> dict[str, Any]:
    """Calls for ``warm_up_s``, then counts for ``duration_s``, longer until each caller was answered at least twice.

    Raises:
        OSError: where the server cannot be reached or goes away.
    """
    with selectors.DefaultSelector() as selector:
        queue = deque(_Caller(address, requests) for _ in range(callers))
        try:
            for caller in queue:
                selector.register(caller.socket, selectors.EVENT_READ, caller)
                _begin(selector, caller)
            _loop(selector, _Window(), time.perf_counter() + warm_up_s, 0)
            window, began = _Window(), time.perf_counter()
            _loop(selector, window, began + duration_s, 2 * callers)
            return window.summary(time.perf_counter() - began)
        finally:
            for caller in queue:
                caller.socket.close()


def _loop(selector: selectors.BaseSelector, window: _Window, until: float, least: int) -> None:
    while time.perf_counter() < until or len(window.latencies_ms) + window.errors < least:
        events = selector.select(_CALL_TIMEOUT_S)
        if not events:
            raise TimeoutError(f"no answer within {_CALL_TIMEOUT_S:g} s")
        for key, mask in events:
            caller: _Caller = key.data
            if mask & selectors.EVENT_WRITE:
                if caller.send():
                    selector.modify(caller.socket, selectors.EVENT_READ, caller)
                continue
            answer = caller.receive()
            if answer is not None:
                window.note(answer, time.perf_counter() - caller.sent_at)
                _begin(selector, caller)


def _begin(selector: selectors.BaseSelector, caller: _Caller) -> None:
    caller.begin()
    if not caller.send():
        selector.modify(caller.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, caller)


def prepared(bodies: list[dict[str, Any]], model: str, host: str) -> list[bytes]:
    """Whole HTTP requests to ``model``, ready to send."""
    return [
        (
            f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {host}\r\n"
            "Content-Type: application/octet-stream\r\n"
            f"Inference-Header-Content-Length: {body['header']}\r\nContent-Length: {len(data)}\r\n\r\n"
        ).encode()
        + data
        for body in bodies
        for data in (base64.b64decode(body["body"]),)
    ]


def main() -> None:
    """Answers commands until stdin ends."""
    bodies = [json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()]
    gc.disable()
    for line in sys.stdin:
        command = json.loads(line)
        host, _, port = command["address"].partition(":")
        requests = itertools.cycle(prepared(bodies, command["model"], command["address"]))
        try:
            answer = run_window(
                (host, int(port)),
                requests,
                callers=command["callers"],
                warm_up_s=command["warm_up_s"],
                duration_s=command["duration_s"],
            )
        except (OSError, ValueError) as error:
            answer = {"failed": str(error) or type(error).__name__}
        gc.collect()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
