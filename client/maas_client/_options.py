"""How a client connects: headers, secrets, TLS, compression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from maas_client.errors import RefusedValueError

if TYPE_CHECKING:
    import ssl

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
COMPRESSIONS = ("gzip", "deflate")


@dataclass(frozen=True, slots=True)
class TLS:
    """Files in PEM form for https and grpcs.

    Attributes:
        ca_file: the authorities to trust; None is the system's.
        cert_file: this client's certificate, for mutual TLS.
        key_file: its private key.

    Raises:
        RefusedValueError: a file is missing, or one of certificate and key.
    """

    ca_file: str | Path | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise RefusedValueError("TLS wants cert_file and key_file together; pass both or none")
        for path in (self.ca_file, self.cert_file, self.key_file):
            if path is not None and not Path(path).is_file():
                raise RefusedValueError(f"TLS: there is no file {path}; give the path of a PEM file")

    def context(self) -> ssl.SSLContext:
        """For sockets.

        Raises:
            RefusedValueError: a file holds something else.
        """
        # Imported here: plain connections do not need it.
        import ssl

        try:
            context = ssl.create_default_context(cafile=None if self.ca_file is None else str(self.ca_file))
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (ssl.SSLError, OSError) as error:
            raise RefusedValueError(f"{self!r} cannot be used: {error}") from error
        return context

    def pem(self, which: str) -> bytes | None:
        """The content of ``ca_file``, ``cert_file`` or ``key_file``."""
        path = getattr(self, which)
        return None if path is None else Path(path).read_bytes()


@dataclass(frozen=True, slots=True)
class Options:
    """What every connection of a client is made with.

    Attributes:
        headers: sent with every request; never part of a ``repr``, since they carry the secrets.
        tls: for https and grpcs.
        compression: of requests: "gzip", "deflate" or None. Answers are asked for in the same way.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tls: TLS = TLS()
    compression: str | None = None

    @classmethod
    def make(
        cls,
        headers: Mapping[str, str] | None,
        token: str | None,
        api_key: str | None,
        tls: TLS | None,
        compression: str | None,
    ) -> Options:
        """Checks what the caller passed.

        Raises:
            RefusedValueError: a header cannot be sent, or the compression is not known. Values are not shown.
        """
        if not isinstance(headers, Mapping | None):
            raise RefusedValueError(f"headers is a mapping from name to value, got {type(headers).__name__}")
        pairs = list((headers or {}).items())
        if token is not None:
            pairs.append(("Authorization", f"Bearer {token}"))
        if api_key is not None:
            pairs.append(("X-API-Key", api_key))
        for name, value in pairs:
            if not (isinstance(name, str) and isinstance(value, str)):
                raise RefusedValueError(f"the header {str(name)[:40]!r} or its value is no string; pass strings")
            if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
                raise RefusedValueError(f"the header {name[:40]!r} or its value cannot be sent; use printable ASCII")
        if compression is not None and compression not in COMPRESSIONS:
            raise RefusedValueError(f"compression is 'gzip', 'deflate' or None, got {compression!r}")
        return cls(tuple(pairs), tls or TLS(), compression)
