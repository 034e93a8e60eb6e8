"""What both senders have in common: what they give back, and what can go wrong."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from maas_client._calls import InferCall, RequestForm
from maas_core.golden import Tensors
from maas_loadtest.prepared import Prepared

MESSAGE_CHARACTERS = 160
"""Of a server's own words: they go into a table."""


class Reply(NamedTuple):
    """One answer, not decoded: most answers are only counted.

    Attributes:
        body: the message or the body of the response; of a stream empty.
        version: that answered; "" where the answer does not say it.
        header_bytes: of HTTP: how much of the body is JSON.
        parts: of a stream: each answer's bytes.
        parts_ns: of a stream: when each came, by ``time.monotonic_ns``.
    """

    body: bytes
    version: str
    header_bytes: int = 0
    parts: tuple[bytes, ...] = ()
    parts_ns: tuple[int, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Of all that was read, without headers of HTTP."""
        return len(self.body) + sum(map(len, self.parts))


class SendFailed(Exception):
    """A request without a good answer.

    Args:
        kind: ``unreachable``, ``timeout``, ``status`` (the server says that it failed), ``connection`` or ``protocol``.
        message: short, and the same for the same fault: failures are counted by it.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class NotProcessed(SendFailed):
    """The server says that it has not touched the request: it may be sent again."""


def no_answer_within(timeout_s: float) -> SendFailed:
    """The time of a call is over."""
    return SendFailed("timeout", f"no answer within {timeout_s:g} s")


class Sender(Protocol):
    """Sends prepared requests to one server; many greenlets use it at a time."""

    def send(self, prepared: Prepared, wire: bytes) -> Reply:
        """Sends one request and waits for its answer.

        Raises:
            SendFailed: there is no good one.
        """

    def outputs(self, prepared: Prepared, reply: Reply) -> Tensors:
        """The tensors in an answer; of a stream those of all its answers, joined.

        Raises:
            MaasClientError: it does not follow the protocol.
        """

    def close(self) -> None:
        """Ends the connections."""


def call_of(prepared: Prepared) -> InferCall:
    """What the client library's decoders want to know of the request."""
    return InferCall(RequestForm(prepared.model, prepared.version, ()), ())
