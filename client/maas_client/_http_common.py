"""What the synchronous and the asynchronous HTTP wire share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from maas_client._calls import Call
from maas_client._deadline import Deadline
from maas_client._http1 import compress, encode_head
from maas_client._http_codec import HttpRequest
from maas_client._options import Options
from maas_client._url import Endpoint
from maas_client.errors import BadAnswerError, ConnectionLostError, UnreachableError

_JOIN_BELOW_BYTES = 65536
"""Smaller requests are sent as one piece: one system call costs more than the copy."""


class RequestEncoder:
    """Makes the bytes of requests to one endpoint."""

    def __init__(self, endpoint: Endpoint, options: Options) -> None:
        self._endpoint = endpoint
        self._headers = options.headers
        self._compression = options.compression

    def pieces(self, request: HttpRequest) -> tuple[bytes | memoryview, ...]:
        """The request as pieces to send one after another."""
        if self._compression:
            request = compress(request, self._compression)
        pieces = (encode_head(request, self._endpoint, self._headers), *request.body)
        return (b"".join(pieces),) if sum(map(len, pieces)) < _JOIN_BELOW_BYTES else pieces


@contextmanager
def connect_errors(call: Call, deadline: Deadline, endpoint: Endpoint) -> Iterator[None]:
    """Translates what can go wrong while a connection is made."""
    try:
        yield
    except TimeoutError as error:
        raise deadline.error(call.model, str(endpoint), "connecting") from error
    except OSError as error:
        raise UnreachableError(
            f"no server reachable: {error.strerror or error}; start it (maas serve) or correct the URL",
            model=call.model,
            endpoint=str(endpoint),
        ) from error


@contextmanager
def answer_errors(call: Call, deadline: Deadline, endpoint: Endpoint) -> Iterator[None]:
    """Translates what can go wrong between the first byte sent and the last one received."""
    who, where = call.model or "the server", str(endpoint)
    try:
        yield
    except TimeoutError as error:
        raise deadline.error(call.model, where, "waiting for the answer") from error
    except (OSError, EOFError) as error:
        raise ConnectionLostError(
            f"{who}: the connection ended before the whole answer came: {error}", model=call.model, endpoint=where
        ) from error
    except ValueError as error:
        raise BadAnswerError(
            f"{who}: the answer breaks the protocol: {error}", model=call.model, endpoint=where
        ) from error
