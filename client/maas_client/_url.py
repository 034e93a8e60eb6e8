"""Where a server is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from maas_client.errors import RefusedValueError

_DEFAULT_PORT = {"grpc": 8001, "grpcs": 8001, "http": 8000, "https": 8000}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's address.

    Attributes:
        scheme: grpc, grpcs, http or https.
        host: a name or an address, without brackets.
        port: TCP port.
        path: what stands before ``/v2`` behind a proxy; "" without one, never a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Reads ``grpc://127.0.0.1:8001``; without a port Triton's own is taken (8001 for gRPC, 8000 for HTTP).

        Raises:
            RefusedValueError: it is no such URL.
        """
        wanted = "a server's URL looks like grpc://127.0.0.1:8001 or http://127.0.0.1:8000"
        if not isinstance(url, str):
            raise RefusedValueError(f"{wanted}, got {url!r}")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            # Not chained: the standard library's words may hold a part of the password.
            why = "" if "@" in url else f" ({error})"
            raise RefusedValueError(f"{wanted}, got {_without_secrets(url)!r}{why}") from None
        if parts.scheme not in _DEFAULT_PORT or not parts.hostname:
            raise RefusedValueError(f"{wanted} (grpcs and https for TLS), got {_without_secrets(url)!r}")
        if parts.username or parts.password:
            raise RefusedValueError(f"{wanted}, without a user or password in it; pass them as headers={{...}}")
        if parts.query or parts.fragment or (parts.path.strip("/") and parts.scheme.startswith("grpc")):
            raise RefusedValueError(f"{wanted} and nothing behind the port, got {_without_secrets(url)!r}")
        return cls(parts.scheme, parts.hostname, port or _DEFAULT_PORT[parts.scheme], parts.path.rstrip("/"))

    @property
    def is_grpc(self) -> bool:
        """Whether it speaks gRPC."""
        return self.scheme.startswith("grpc")

    @property
    def is_secure(self) -> bool:
        """Whether it speaks TLS."""
        return self.scheme.endswith("s")

    @property
    def authority(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def _without_secrets(url: str) -> str:
    """A URL for a message: without the user, the password and what stands behind the path."""
    without_user = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"[?#].*", "?***", without_user, flags=re.DOTALL)
