"""Who sends slowly, or holds connections: cut in time, while others are served."""

from __future__ import annotations

import contextlib
import http.client
import json
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from maas_core.errors import WrongUse
from maas_gateway.admission_settings import read_admission_settings
from tests.gateway.running import Gateway, HttpCaller, running_gateway, upstream
from tests.loadtest.stub_server import MODEL, stub_server
from tests.waiting import wait_until

HEAD = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: x\r\n".encode()
WITH_BODY = HEAD + b"Content-Length: 100000\r\n\r\n"
CONNECTIONS = 64
# No multiples of the pause between bytes that come one by one: each would come just when it is cut.
LIMITS = {"headers_timeout_s": 1.05, "request_timeout_s": 1.55, "idle_timeout_s": 2.0, "connections": CONNECTIONS}
UNHURRIED = {"headers_timeout_s": 60.0, "request_timeout_s": 60.0, "idle_timeout_s": 60.0}


@contextlib.contextmanager
def limited_gateway(state: Path, delay_ms: float = 0.0, **limits: float) -> Iterator[Gateway]:
    """A gateway with these limits over a stub that answers after that time."""
    state.mkdir(parents=True)
    (state / "admission.json").write_text(json.dumps({**LIMITS, **limits}))
    with stub_server(delay_ms=delay_ms) as stub, running_gateway(state, upstream(stub)) as gateway:
        yield gateway


DATA, GOAWAY = 0x0, 0x7
"""Types of HTTP/2 frames (RFC 9113, section 6)."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with limited_gateway(tmp_path_factory.mktemp("slow") / "state") as gateway:
        yield gateway


def connect(gateway: Gateway) -> socket.socket:
    parts = urlsplit(gateway.url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 0), 30)


def answer_to(gateway: Gateway, first: bytes, *, trickle: bool) -> bytes:
    """Sends ``first``, then a byte now and then or nothing more; what came until the gateway closed the connection."""
    answer = b""
    with connect(gateway) as connection:
        connection.sendall(first)
        connection.settimeout(0.1)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                part = connection.recv(4096)
                if not part:
                    return answer
                answer += part
            except TimeoutError:
                pass
            except ConnectionResetError:
                # A byte that came when the gateway read no more is answered so, behind its own answer.
                if answer:
                    return answer
                raise
            if trickle and not answer:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")
    pytest.fail(f"still open after 30 s, with {answer!r}")


def serves_new_callers(gateway: Gateway) -> bool:
    caller = HttpCaller(gateway.url)
    with contextlib.closing(caller), contextlib.suppress(OSError, http.client.HTTPException):
        return caller.infer().is_good
    return False


@pytest.mark.parametrize(
    ("first", "trickle"),
    [(HEAD + b"X-A: ", True), (HEAD, False), (WITH_BODY, True), (WITH_BODY + b"{", False)],
    ids=["headers byte by byte", "headers that end", "body byte by byte", "body that ends"],
)
def test_a_slow_request_is_cut_with_408(gateway: Gateway, first: bytes, trickle: bool) -> None:
    assert answer_to(gateway, first, trickle=trickle).startswith(b"HTTP/1.1 408 ")


def test_a_connection_without_requests_is_closed(gateway: Gateway) -> None:
    assert answer_to(gateway, b"", trickle=False) == b""


def test_an_answer_may_take_longer_than_a_connection_may_be_idle(tmp_path: Path) -> None:
    with limited_gateway(tmp_path / "state", delay_ms=2500, idle_timeout_s=1) as gateway, gateway.callers() as callers:
        assert [caller.infer().is_good for caller in callers] == [True, True]


def http2_frames(text: bytes) -> list[int]:
    """The types of the frames (RFC 9113, section 4.1: 3 bytes of length, 1 of type, 5 more, then the payload)."""
    types = []
    while text:
        types.append(text[3])
        text = text[9 + int.from_bytes(text[:3]) :]
    return types


def test_http2_that_stays_silent_is_closed(gateway: Gateway) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    frames = http2_frames(answer_to(gateway, preface, trickle=False))
    assert frames[-1] == GOAWAY
    assert DATA not in frames


def test_more_connections_than_allowed_hurt_nobody_who_is_connected(tmp_path: Path) -> None:
    with limited_gateway(tmp_path / "state", **UNHURRIED) as gateway:
        caller = HttpCaller(gateway.url)
        assert caller.infer().is_good
        with contextlib.ExitStack() as stack:
            for _ in range(2 * CONNECTIONS):
                # One too many is closed, as soon as it is made or a moment later.
                with contextlib.suppress(OSError):
                    stack.enter_context(connect(gateway))
            assert caller.infer().is_good
        caller.close()
        wait_until(lambda: serves_new_callers(gateway), "a new connection")


def test_a_caller_that_resets_in_the_middle_leaves_nothing_behind(gateway: Gateway) -> None:
    linger = b"\x01\0\0\0\0\0\0\0"
    for _ in range(CONNECTIONS * 2):
        with connect(gateway) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.sendall(WITH_BODY + b"{" * 1000)
    wait_until(lambda: serves_new_callers(gateway), "a new connection")


def test_large_bodies_that_never_end_cannot_fill_the_memory(tmp_path: Path) -> None:
    mib = 2**20
    large = HEAD + b"Content-Length: %d\r\n\r\n" % (60 * mib)
    with limited_gateway(tmp_path / "state", memory_bytes=512 * mib, **UNHURRIED) as gateway:
        caller = HttpCaller(gateway.url)
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(connect(gateway)).sendall(large + bytes(10 * mib))
            with connect(gateway) as third:
                third.sendall(large)
                answer = third.recv(4096)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1\r\n" in answer
            assert caller.infer().is_good
        caller.close()

        def has_room() -> bool:
            with connect(gateway) as connection:
                connection.sendall(large)
                connection.settimeout(0.5)
                with contextlib.suppress(TimeoutError):
                    return not connection.recv(100)
                return True

        wait_until(has_room, "room for another large body")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_500_slow_senders_are_cut_and_nobody_else_notices(tmp_path: Path) -> None:
    count, told = 500, 0
    with limited_gateway(tmp_path / "state", connections=2000, headers_timeout_s=5, request_timeout_s=5) as gateway:
        caller = HttpCaller(gateway.url)
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            for number in range(count):
                connection = stack.enter_context(connect(gateway))
                connection.sendall(WITH_BODY if number % 2 else HEAD + b"X-A: ")
                selector.register(connection, selectors.EVENT_READ)
            deadline = time.monotonic() + 60
            while selector.get_map() and time.monotonic() < deadline:
                assert caller.infer().is_good
                for key, _ in selector.select(0):
                    assert isinstance(key.fileobj, socket.socket)
                    told += key.fileobj.recv(200).startswith(b"HTTP/1.1 408 ")
                    selector.unregister(key.fileobj)
        caller.close()
    assert told == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"body_bytes": 1}', "body_bytes: Input should be greater than or equal to 1024"),
        ('{"bodybytes": 1}', "bodybytes: Extra inputs are not permitted"),
        ("[]", "the file: "),
        ("{", "the file: "),
    ],
)
def test_limits_that_are_none_are_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "admission.json").write_text(text)
    with pytest.raises(WrongUse) as caught:
        read_admission_settings(tmp_path, keys_required=True)
    assert f"{tmp_path / 'admission.json'}: {words}" in caught.value.message
    assert "\n" not in caught.value.message
