"""TLS towards callers, callers who must show a certificate, and certificates that are replaced while it runs."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from maas_client import TLS, Client
from tests.conftest import Maas
from tests.gateway.running import Gateway, GrpcCaller, HttpCaller, running_gateway, upstream
from tests.gateway.test_supervision import HERE, refused
from tests.loadtest.stub_server import Stub, stub_server
from tests.waiting import wait_until


@dataclass(frozen=True)
class Pair:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates for 127.0.0.1."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def pair(self, name: str) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        signed = self._builder(subject, key).add_extension(x509.SubjectAlternativeName([address]), False)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        # Moved into place, as who renews a certificate does.
        for path, data in (
            (pair.key, key.private_bytes(*_PEM_KEY)),
            (pair.certificate, signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)),
        ):
            staged = path.with_suffix(".new")
            staged.write_bytes(data)
            staged.replace(path)
        return pair

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


_PEM_KEY = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    with stub_server() as stub:
        yield stub


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("our certificates"), "authority")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Pair:
    return authority.pair("server")


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, stub: Stub, authority: Authority, server: Pair
) -> Iterator[Gateway]:
    """One that lets in only callers with a certificate of the authority."""
    options = ("--tls-cert", server.certificate, "--tls-key", server.key, "--client-ca", authority.file)
    with running_gateway(tmp_path_factory.mktemp("tls") / "state", upstream(stub), *map(str, options)) as gateway:
        yield gateway


def http_caller(gateway: Gateway, authority: Authority, own: Pair | None) -> HttpCaller:
    context = ssl.create_default_context(cafile=str(authority.file))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return HttpCaller(gateway.url, context=context)


def grpc_caller(gateway: Gateway, authority: Authority, own: Pair | None) -> GrpcCaller:
    files = [authority.file, *((own.key, own.certificate) if own else ())]
    return GrpcCaller(gateway.grpc, grpc.ssl_channel_credentials(*(path.read_bytes() for path in files)))


def test_callers_with_a_certificate_are_let_in_over_http_and_grpc(gateway: Gateway, authority: Authority) -> None:
    assert urlsplit(gateway.url).scheme == "https"
    assert urlsplit(gateway.grpc).scheme == "grpcs"
    own = authority.pair("caller")
    assert http_caller(gateway, authority, own).infer().is_good
    assert grpc_caller(gateway, authority, own).infer().is_good


def test_our_client_gets_in(gateway: Gateway, authority: Authority) -> None:
    own = authority.pair("caller")
    tls = TLS(ca_file=authority.file, cert_file=own.certificate, key_file=own.key)
    for url in (gateway.url, gateway.grpc):
        with Client(url, tls=tls) as client:
            assert client.infer("stub", x=[[1.0, 2.0, 3.0, 4.0]])["y"].tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_callers_without_a_certificate_or_with_a_strangers_are_not(
    gateway: Gateway, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").pair("stranger")
    for own in (None, stranger):
        # Whether the alert or the end of the connection is seen first is chance.
        with pytest.raises((ssl.SSLError, ConnectionError)):
            http_caller(gateway, authority, own).infer()
        assert grpc_caller(gateway, authority, own).infer().status == 14


def test_plain_text_is_not_answered(gateway: Gateway) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        HttpCaller(gateway.url.replace("https", "http")).infer()


def test_a_certificate_that_is_replaced_is_served_without_a_restart(tmp_path: Path, stub: Stub) -> None:
    authority = Authority(tmp_path, "authority")
    pair = authority.pair("server")
    options = ("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
    with running_gateway(tmp_path / "state", upstream(stub), *options) as gateway:
        address = ("127.0.0.1", urlsplit(gateway.url).port or 0)
        before = ssl.get_server_certificate(address)
        kept = http_caller(gateway, authority, None)
        assert kept.infer().is_good
        authority.pair("server")
        wait_until(lambda: ssl.get_server_certificate(address) != before, "the new certificate")
        # Who was connected before stays so.
        assert kept.infer().is_good


def test_files_that_do_not_belong_together_are_refused_in_one_line(maas: Maas, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    one, other = authority.pair("one"), authority.pair("other")
    said = refused(maas, *HERE, "--tls-cert", one.certificate, "--tls-key", other.key)
    assert "no certificate with its key" in said
    said = refused(maas, *HERE, "--tls-cert", one.certificate, "--tls-key", tmp_path / "none")
    assert "there is no file" in said
    said = refused(maas, *HERE, "--tls-cert", one.certificate, "--tls-key", one.key, "--client-ca", one.key)
    assert "holds no certificate" in said
