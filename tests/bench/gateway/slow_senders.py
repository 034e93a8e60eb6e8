"""What 500 connections that send a byte a second cost those who call properly."""

from __future__ import annotations

import contextlib
import itertools
import json
import selectors
import socket
import threading
import time
from statistics import median

import click

from bench.gateway.fronts import gateway
from bench.load_programs import wrk
from bench.load_programs.wrk import Post
from bench.models import digits_cnn
from bench.peers.triton import TRITON
from maas_core.layout import build_dir
from maas_gateway.routing import Upstream

_HEAD = b"POST /v2/models/digits_cnn/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
_GOAL = 1.2
_TICKS_PER_S = 50
_UNTIL_ALL_ARE_THERE_S = 2.0


class SlowSenders:
    """So many connections, each of which sends a byte a second: half of them of their headers, half of a body.

    One that the gateway cuts is opened anew, as an attacker would.

    Attributes:
        cut: how many were cut so far, and how many of these were told 408.
    """

    def __init__(self, address: tuple[str, int], count: int, key: str) -> None:
        self.cut = 0
        self.told = 0
        self._address = address
        self._count = count
        self._with_body = _HEAD + f"x-api-key: {key}\r\n\r\n".encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> SlowSenders:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connections: dict[int, socket.socket] = {}
        with selectors.DefaultSelector() as selector:
            # Each connection has its own moment of the second, as callers that know nothing of each other have.
            for tick in itertools.count():
                if self._stop.wait(1 / _TICKS_PER_S):
                    break
                for key, _ in selector.select(0):
                    self._close(selector, connections.pop(key.data))
                for number in range(tick % _TICKS_PER_S, self._count, _TICKS_PER_S):
                    self._step(selector, connections, number)
        for connection in connections.values():
            connection.close()

    def _step(self, selector: selectors.BaseSelector, connections: dict[int, socket.socket], number: int) -> None:
        """Sends a byte, or opens the connection where it was cut."""
        if number not in connections:
            connections[number] = self._open(number)
            selector.register(connections[number], selectors.EVENT_READ, number)
            return
        try:
            connections[number].send(b"x")
        except OSError:
            self._close(selector, connections.pop(number))

    def _open(self, number: int) -> socket.socket:
        connection = socket.create_connection(self._address, 10)
        connection.sendall(self._with_body if number % 2 else _HEAD + b"x-slow: ")
        return connection

    def _close(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        selector.unregister(connection)
        # One that was reset was cut as well.
        with contextlib.suppress(OSError):
            self.told += b" 408 " in connection.recv(200)
        connection.close()
        self.cut += 1


@click.command("slow", epilog="Example: python -m bench gateway slow --connections 500")
@click.option("--connections", default=500, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=10.0, show_default=True, help="Of one measurement.")
@click.option("--callers", default=4, show_default=True, help="Who call properly.")
@click.option("--timeout", "timeout_s", default=5.0, show_default=True, help="After which the gateway cuts, seconds.")
def slow_senders(connections: int, rounds: int, seconds: float, callers: int, timeout_s: float) -> None:
    """p99 of proper callers of the tiny model, with and without slow senders, in turns."""
    model = digits_cnn()
    limits = {"headers_timeout_s": timeout_s, "request_timeout_s": timeout_s}
    ratios, cut, told, errors = [], 0, 0, 0
    with TRITON.start(model) as running:
        post = running.post
        address = post.url.removeprefix("http://").partition("/")[0]
        with gateway(Upstream(http=address, grpc=running.grpc_url), limits) as front:
            host, _, port = front.http.partition(":")
            moved = Post(post.url.replace(address, front.http), post.body, {**post.headers, **front.headers})
            wrk.run(moved, callers, 2.0)
            for number in range(rounds):
                alone = wrk.run(moved, callers, seconds)
                with SlowSenders((host, int(port)), connections, front.headers["x-api-key"]) as slow:
                    time.sleep(_UNTIL_ALL_ARE_THERE_S)
                    beside = wrk.run(moved, callers, seconds)
                cut, told, errors = cut + slow.cut, told + slow.told, errors + beside.errors
                ratios.append(beside.p99_ms / alone.p99_ms)
                click.echo(
                    f"round {number + 1}/{rounds}: p99 alone {alone.p99_ms:.2f} ms, beside {connections} slow senders "
                    f"{beside.p99_ms:.2f} ms",
                    err=True,
                )
    found = {"connections": connections, "p99_ratios": ratios, "median": median(ratios), "cut": cut, "told_408": told}
    folder = build_dir() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway-slow.json").write_text(json.dumps({**found, "errors": errors}, indent=1), encoding="utf-8")
    verdict = "reached" if median(ratios) <= _GOAL and errors == 0 else "MISSED"
    click.echo(
        f"p99 beside {connections} slow senders: {median(ratios):.2f} × (goal: {_GOAL} ×, {verdict}); {cut} cut, "
        f"{told} told 408; {errors} errors of proper callers"
    )
