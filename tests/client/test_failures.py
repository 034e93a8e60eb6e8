"""A server that resets, stalls, or answers half or nonsense: each way has its promised exception."""

from __future__ import annotations

import json
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

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
)

X = np.ones((1, 2), np.float32)


def http(body: bytes, status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def http_infer(data: bytes = X.tobytes(), version: str = "1", **entry: Any) -> bytes:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": len(data)}, **entry}
    head = json.dumps({"model_name": "m", "model_version": version, "outputs": [output]}).encode()
    return http(head + data, Inference_Header_Content_Length=str(len(head)))


def grpc_infer(data: bytes = X.tobytes(), version: str = "1", **entry: Any) -> bytes:
    output = {"name": "y", "datatype": "FP32", "shape": [1, 2], **entry}
    message = pb.ModelInferResponse(model_name="m", model_version=version, outputs=[output], raw_output_contents=[data])
    return bytes(message.SerializeToString())


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
    ("half a message", grpc_infer()[:-3], BadAnswerError, "ends inside"),
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


@pytest.mark.parametrize(
    ("reply", "kind", "text"), [row[1:] for row in HTTP_FAULTS], ids=[row[0] for row in HTTP_FAULTS]
)
def test_http_faults(scripted_http: Any, reply: Any, kind: type[MaasClientError], text: str) -> None:
    _fails_then_goes_on(scripted_http, reply, http_infer(), kind, text)


@pytest.mark.parametrize(
    ("reply", "kind", "text"), [row[1:] for row in GRPC_FAULTS], ids=[row[0] for row in GRPC_FAULTS]
)
def test_grpc_faults(scripted_grpc: Any, reply: Any, kind: type[MaasClientError], text: str) -> None:
    _fails_then_goes_on(scripted_grpc, reply, grpc_infer(), kind, text)


def _fails_then_goes_on(server: Any, reply: Any, good: bytes, kind: type[MaasClientError], text: str) -> None:
    server.replies = [reply, good]
    with Client(server.url) as client:
        client.describe("m")
        with pytest.raises(kind, match=text) as caught:
            client.infer("m", x=X, timeout_s=0.3)
        assert server.url in str(caught.value)
        assert "\n" not in str(caught.value)
        assert type(caught.value) is kind
        np.testing.assert_array_equal(client.infer("m", x=X)["y"], X)


def test_retry_after_is_told(scripted_http: Any) -> None:
    scripted_http.replies = [http(b"", 429, Retry_After="7")]
    with Client(scripted_http.url) as client, pytest.raises(QuotaExceededError) as caught:
        client.infer("m", x=X)
    assert caught.value.retry_after_s == 7
    assert caught.value.code == "429"


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
def test_other_forms_of_http_are_understood(scripted_http: Any, reply: bytes) -> None:
    scripted_http.replies = [reply]
    with Client(scripted_http.url) as client:
        np.testing.assert_array_equal(client.infer("m", x=X)["y"], X)


def test_a_model_is_described_once(scripted_http: Any) -> None:
    scripted_http.replies = [http_infer()]
    with Client(scripted_http.url) as client:
        for _ in range(3):
            client.infer("m", x=X)
    assert scripted_http.described == 1


def test_another_version_that_answers_is_described_anew(scripted_http: Any) -> None:
    scripted_http.replies = [http_infer(), http_infer(version="2")]
    with Client(scripted_http.url) as client:
        assert client.infer("m", x=X).model_version == 1
        scripted_http.versions = ["2"]
        assert client.infer("m", x=X).model_version == 2
        client.infer("m", x=X)
        client.infer("m", x=X)
    assert scripted_http.described == 2


def test_a_refusal_by_a_changed_model_is_sent_again_in_its_new_form(scripted_http: Any) -> None:
    scripted_http.replies = [http(b'{"error":"no such shape"}', 400), http_infer()]
    with Client(scripted_http.url) as client:
        client.describe("m")
        scripted_http.max_batch_size = 8
        assert client.infer("m", x=X).timing.attempts == 2


def test_a_closed_client_says_so(scripted_http: Any) -> None:
    client = Client(scripted_http.url)
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


def test_headers_and_path_are_sent_and_not_shown(scripted_http: Any) -> None:
    scripted_http.replies = [http_infer()]
    with Client(scripted_http.url + "/behind", headers={"X-Key": "secret"}) as client:
        client.infer("m", x=X)
        assert "secret" not in repr(vars(client))
