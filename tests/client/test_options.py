"""Certificates, secrets, compression and odd URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maas_client import TLS, InputError, MaasClientError, TransportError
from tests.client.scripted import ONES, Certificates, Scripted, scripted_grpc, scripted_http

Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(way: str, certificates: Certificates) -> Iterator[Scripted]:
    with (scripted_grpc if way.startswith("grpc") else scripted_http)(certificates) as server:
        server.replies = [server.good()]
        yield server


def test_mutual_tls(secure: Scripted, connect: Connect, certificates: Certificates) -> None:
    tls = TLS(certificates.ca, certificates.client, certificates.client_key)
    with connect(secure.url, tls=tls) as client:
        for _ in range(2):
            np.testing.assert_array_equal(client.infer("m", x=ONES)["y"], ONES)


def test_a_server_that_is_not_trusted_gets_nothing(secure: Scripted, connect: Connect) -> None:
    with connect(secure.url, retry=None) as client, pytest.raises(TransportError):
        client.infer("m", x=ONES)
    assert secure.described == 0


def test_a_server_that_wants_a_certificate_is_told_apart(
    secure: Scripted, connect: Connect, certificates: Certificates
) -> None:
    with connect(secure.url, tls=TLS(certificates.ca), retry=None) as client, pytest.raises(TransportError):
        client.infer("m", x=ONES, timeout_s=5)
    assert secure.described == 0


def test_wrong_certificate_files_are_told_by_name(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="together"):
        TLS(cert_file=__file__)
    with pytest.raises(InputError, match=r"no file .*nosuch"):
        TLS(ca_file=tmp_path / "nosuch.pem")
    with pytest.raises(InputError, match=r"test_options\.py"):
        TLS(ca_file=__file__).context()


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"headers": {"X-Thing": "s3cret"}}, "x-thing", "s3cret"),
        ({"token": "s3cret"}, "authorization", "Bearer s3cret"),
        ({"api_key": "s3cret"}, "x-api-key", "s3cret"),
    ],
)
def test_secrets_are_sent_and_never_shown(
    scripted: Scripted, connect: Connect, options: dict[str, Any], name: str, value: str
) -> None:
    scripted.replies = [scripted.wrong("no")]
    with connect(scripted.url, **options) as client:
        with pytest.raises(MaasClientError) as caught:
            client.infer("m", x=ONES)
        told = [repr(client), repr(client._options), repr(vars(client)), str(caught.value), repr(caught.value)]
    assert scripted.headers[name] == value
    assert not any("s3cret" in text for text in told)


@pytest.mark.parametrize("headers", [{"a b": "x"}, {"": "x"}, {"a": "line\r\nX-Evil: 1"}, {"a": "ü"}])
def test_headers_that_cannot_be_sent_are_refused_without_their_value(connect: Connect, headers: dict[str, str]) -> None:
    with pytest.raises(InputError, match="header") as caught:
        connect("http://127.0.0.1:1", headers=headers)
    assert "Evil" not in str(caught.value)


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed_requests_and_answers(way: str, urls: dict[str, str], connect: Connect, compression: str) -> None:
    x = np.zeros((2, 100_000), np.float32)
    x[1] = np.arange(100_000)
    with connect(urls[way.removesuffix("-async")], compression=compression) as client:
        answer = client.infer("anything", {"xFP32_2": x, "xBYTES_1": ["a", "b"]}, outputs=["yFP32_2", "yBYTES_1"])
        assert client.is_ready()
        assert client.metadata("small")["name"] == "small"
    np.testing.assert_array_equal(answer["yFP32_2"], x)
    assert answer["yBYTES_1"].tolist() == [b"a", b"b"]


def test_an_unknown_compression_is_refused(connect: Connect) -> None:
    with pytest.raises(InputError, match="'gzip', 'deflate'"):
        connect("http://127.0.0.1:1", compression="br")


@pytest.mark.parametrize("way", ["http", "http-async"])
def test_a_path_before_v2_is_kept(scripted: Scripted, connect: Connect) -> None:
    scripted.replies = [scripted.good()]
    with connect(f"{scripted.url}/behind/") as client:
        client.infer("m", x=ONES)
    assert scripted.paths[-1] == "/behind/v2/models/m/infer"
