"""A server that resets, stalls, or answers half or nonsense: each way has its promised exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from maas_client import (
    AuthenticationError,
    BadAnswerError,
    Client,
    ClientClosedError,
    ConnectionLostError,
    DeadlineExceededError,
    InputError,
    InternalServerError,
    InvalidRequestError,
    MaasClientError,
    QuotaExceededError,
    TooLargeError,
    UnavailableError,
    _core,
)
from tests.client.scripted import ONES as X
from tests.client.scripted import Scripted, grpc_infer, http, http_infer

HTTP_FAULTS: list[tuple[str, Any, type[MaasClientError], str]] = [
    ("reset", "reset", ConnectionLostError, "ended before the whole answer"),
    ("stall", "stall", DeadlineExceededError, "within 0.3 s"),
    ("half an answer", http(b"{}" * 50)[:-30], ConnectionLostError, "of 100 bytes"),
    ("half a head", b"HTTP/1.1 200 OK\r\nContent-", ConnectionLostError, "closed"),
    ("nonsense", b"SSH-2.0-OpenSSH\r\n\r\n", BadAnswerError, "not HTTP/1.1"),
    ("wrong JSON", http(b'{"model_name":'), BadAnswerError, "JSON"),
    ("a JSON list", http(b"[]"), BadAnswerError, "list"),
    ("no model name", http(b"{}"), BadAnswerError, "model_name"),
    ("too few bytes", http_infer(shape=[1, 3]), BadAnswerError, "needs 12 bytes, got 8"),
    (
        "more bytes than told",
        http_infer(parameters={"binary_data_size": 4}, shape=[1, 1]),
        BadAnswerError,
        "tells of 4",
    ),
    ("fewer bytes than told", http_infer(parameters={"binary_data_size": 80}, shape=[1, 20]), BadAnswerError, "got 8"),
    ("negative size", http_infer(parameters={"binary_data_size": -8}), BadAnswerError, "got 0"),
    ("unknown datatype", http_infer(datatype="FP8"), BadAnswerError, "FP8"),
    ("negative dims", http_infer(shape=[-1, -2]), BadAnswerError, "negative"),
    ("no version", http_infer(version="latest"), BadAnswerError, "latest"),
    ("bad length", http(b"{}").replace(b": 2", b": two"), BadAnswerError, "length"),
    ("bad header length", http(b"{}", Inference_Header_Content_Length="-1"), BadAnswerError, "length"),
    ("400", http(b'{"error":"wrong"}', 400), InvalidRequestError, "answered 400: wrong"),
    ("401", http(b"", 401), AuthenticationError, "no explanation"),
    ("413", http(b"<html>too large</html>", 413), TooLargeError, "too large"),
    ("429", http(b'{"error":"slow down"}', 429, Retry_After="7"), QuotaExceededError, "slow down"),
    ("500", http(b'{"error":"broken"}', 500), InternalServerError, "broken"),
    ("503", http(b'{"error":"full"}', 503), UnavailableError, "full"),
]

GRPC_FAULTS: list[tuple[str, Any, type[MaasClientError], str]] = [
    ("stall", "stall", DeadlineExceededError, "within 0.3 s"),
    ("nonsense", b"\xff\xff\xff", BadAnswerError, "protocol"),
    ("half a message", grpc_infer()[:-3], BadAnswerError, "protocol"),
    ("too few bytes", grpc_infer(shape=[1, 3]), BadAnswerError, "needs 12 bytes, got 8"),
    ("unknown datatype", grpc_infer(datatype="FP8"), BadAnswerError, "FP8"),
    ("negative dims", grpc_infer(shape=[-1, -2]), BadAnswerError, "negative"),
    ("output without data", grpc_infer()[:-10], BadAnswerError, "1 outputs are described and 0 came"),
    ("no version", grpc_infer(version="latest"), BadAnswerError, "latest"),
    ("invalid", (grpc.StatusCode.INVALID_ARGUMENT, "wrong"), InvalidRequestError, "INVALID_ARGUMENT: wrong"),
    ("unauthenticated", (grpc.StatusCode.UNAUTHENTICATED, ""), AuthenticationError, "UNAUTHENTICATED"),
    ("exhausted", (grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down"), QuotaExceededError, "slow down"),
    ("internal", (grpc.StatusCode.INTERNAL, "broken"), InternalServerError, "broken"),
    ("unavailable", (grpc.StatusCode.UNAVAILABLE, "full"), UnavailableError, "full"),
]


Connect = Callable[..., Any]


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize(
    ("reply", "kind", "text"), [row[1:] for row in HTTP_FAULTS], ids=[row[0] for row in HTTP_FAULTS]
)
def test_http_faults(scripted: Scripted, connect: Connect, reply: Any, kind: type[MaasClientError], text: str) -> None:
    _fails_then_goes_on(scripted, connect, reply, kind, text)


@pytest.mark.parametrize("way", ["grpc", "grpc-async"])
@pytest.mark.parametrize(
    ("reply", "kind", "text"), [row[1:] for row in GRPC_FAULTS], ids=[row[0] for row in GRPC_FAULTS]
)
def test_grpc_faults(scripted: Scripted, connect: Connect, reply: Any, kind: type[MaasClientError], text: str) -> None:
    _fails_then_goes_on(scripted, connect, reply, kind, text)


def _fails_then_goes_on(server: Scripted, connect: Connect, reply: Any, kind: type[MaasClientError], text: str) -> None:
    server.replies = [reply, server.good()]
    with connect(server.url, retry=None) as client:
        client.describe("m")
        with pytest.raises(kind, match=text) as caught:
            client.infer("m", x=X, timeout_s=0.3 if reply == "stall" else 20)
        assert server.url in str(caught.value)
        assert "\n" not in str(caught.value)
        assert type(caught.value) is kind
        # A call whose time was over before it left has not taken its reply.
        server.replies = [server.good()]
        np.testing.assert_array_equal(client.infer("m", x=X)["y"], X)


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_retry_after_is_told(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [http(b"", 429, Retry_After="7")]
    with connect(scripted.url, timeout_s=5) as client, pytest.raises(QuotaExceededError) as caught:
        client.infer("m", x=X)
    assert caught.value.retry_after_s == 7
    assert caught.value.code == "429"


@pytest.mark.parametrize("way", ["http", "http-async"])
@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(http_infer().replace(b"\r\n", b"\r\nConnection: close\r\n", 1), id="close"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + http_infer(), id="continue"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;x=y\r\n"
            b'{"mod\r\n54\r\n'
            b'el_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1'
            b'\r\n12\r\n,2],"data":[1,1]}]\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n',
            id="chunked JSON",
        ),
        pytest.param(
            b'HTTP/1.0 200 OK\r\n\r\n{"model_name":"m","model_version":"1",'
            b'"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[1.0,1.0]}]}',
            id="until close",
        ),
    ],
)
def test_other_forms_of_http_are_understood(scripted: Scripted, connect: Connect, reply: bytes) -> None:
    scripted.replies = [reply]
    with connect(scripted.url) as client:
        np.testing.assert_array_equal(client.infer("m", x=X)["y"], X)


def test_a_model_is_described_once(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with connect(scripted.url) as client:
        for _ in range(3):
            client.infer("m", x=X)
    assert scripted.described == 1


def test_another_version_that_answers_is_described_anew(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good(), scripted.good("2")]
    with connect(scripted.url) as client:
        assert client.infer("m", x=X).model_version == 1
        scripted.versions = ["2"]
        assert client.infer("m", x=X).model_version == 2
        client.infer("m", x=X)
        client.infer("m", x=X)
    assert scripted.described == 2


def test_a_refusal_by_a_changed_model_is_sent_again_in_its_new_form(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.wrong("no such shape"), scripted.good()]
    with connect(scripted.url) as client:
        client.describe("m")
        scripted.max_batch_size = 8
        assert client.infer("m", x=X).timing.attempts == 2


def test_refusals_by_an_unchanged_model_do_not_make_it_be_described_each_time(
    scripted: Scripted, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_core, "_FRESH_S", 1e9)
    scripted.replies = [scripted.wrong("no such shape")]
    with connect(scripted.url) as client:
        for _ in range(5):
            with pytest.raises(InvalidRequestError, match="no such shape"):
                client.infer("m", x=X)
            with pytest.raises(InputError):
                client.infer("m", x=3)
    assert scripted.described == 2


def test_a_closed_client_says_so(scripted: Scripted, connect: Connect) -> None:
    with connect(scripted.url) as client:
        client.close()
        client.close()
        with pytest.raises(ClientClosedError, match="make a new one"):
            client.infer("m", x=X)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), "1"])
def test_a_timeout_is_a_positive_number(timeout_s: Any) -> None:
    with pytest.raises(InputError, match="timeout_s"):
        Client("http://127.0.0.1:1", timeout_s=timeout_s)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://x", "http://", "http://x:port", "grpc://x/path", "http://user:pw@x", "http://x?q", None],
)
def test_a_url_that_is_none_is_refused(url: Any) -> None:
    with pytest.raises(InputError, match=r"grpc://127\.0\.0\.1:8001") as caught:
        Client(url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("grpc://host", "grpc://host:8001"),
        ("https://host", "https://host:8000"),
        ("grpcs://[::1]:9", "grpcs://[::1]:9"),
        ("http://host:80/triton/", "http://host:80/triton"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    with Client(url, headers={"authorization": "secret"}) as client:
        assert repr(client) == f"Client({shown!r})"
