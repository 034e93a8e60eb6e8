"""TLS towards callers: certificates that Envoy reads anew when they are replaced."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from pathlib import Path

from maas_core.errors import WrongUse
from maas_core.files import write_atomic
from maas_gateway.clusters import Json

_TRANSPORT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@dataclass(frozen=True)
class TlsFiles:
    """PEM files.

    Attributes:
        certificate: the gateway's own, with the chain behind it.
        key: its private key.
        client_ca: who signs the callers' certificates; with it, only callers with such a certificate are let in.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Tells what Envoy would only write into its log.

        Raises:
            WrongUse: a file is missing, is no PEM file, or the key does not belong to the certificate.
        """
        for path in filter(None, (self.certificate, self.key, self.client_ca)):
            if not path.is_file():
                raise WrongUse(f"there is no file {path}", "give a PEM file")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # The empty password: a key that wants one is refused, in place of a question on the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
        except (ssl.SSLError, OSError) as error:
            raise WrongUse(
                f"{self.certificate} and {self.key} are no certificate with its key: {error}",
                "give PEM files that belong together, the key without a password",
            ) from error
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except (ssl.SSLError, OSError) as error:
                raise WrongUse(f"{self.client_ca} holds no certificate: {error}", "give a PEM file") from error


def write_secrets(state_dir: Path, files: TlsFiles) -> None:
    """Writes the files through which Envoy finds the certificates and notices when they are replaced."""
    pair = {
        "certificate_chain": _file(files.certificate),
        "private_key": _file(files.key),
        "watched_directory": {"path": str(files.certificate.absolute().parent)},
    }
    _write(_server_path(state_dir), {"name": "server", "tls_certificate": pair})
    if files.client_ca is not None:
        trusted = {
            "trusted_ca": _file(files.client_ca),
            "watched_directory": {"path": str(files.client_ca.absolute().parent)},
        }
        _write(_clients_path(state_dir), {"name": "clients", "validation_context": trusted})


def transport_socket(files: TlsFiles, state_dir: Path) -> Json:
    """TLS 1.2 or newer, for HTTP/1.1 and HTTP/2."""
    common: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [_secret("server", _server_path(state_dir))],
    }
    if files.client_ca is not None:
        common["validation_context_sds_secret_config"] = _secret("clients", _clients_path(state_dir))
    context = {
        "@type": f"{_TRANSPORT}.DownstreamTlsContext",
        "common_tls_context": common,
        "require_client_certificate": files.client_ca is not None,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _server_path(state_dir: Path) -> Path:
    return state_dir / "xds" / "tls-server.json"


def _clients_path(state_dir: Path) -> Path:
    return state_dir / "xds" / "tls-clients.json"


def _file(path: Path) -> Json:
    return {"filename": str(path.absolute())}


def _secret(name: str, path: Path) -> Json:
    return {"name": name, "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}}


def _write(path: Path, secret: Json) -> None:
    write_atomic(path, json.dumps({"resources": [{"@type": f"{_TRANSPORT}.Secret", **secret}]}, indent=1) + "\n")
