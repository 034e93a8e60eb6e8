"""What can go wrong in a call, as one tree.

::

    MaasClientError
    ├── InputError (ValueError)        refused here; nothing left this machine
    │   ├── NameMismatchError          an input or output that the model does not have, or one that is missing
    │   ├── DatatypeMismatchError      float64 for FP32, text for numbers, ...
    │   ├── ShapeMismatchError         rank, fixed dimension, batch size, ragged lists
    │   └── RefusedValueError          None, NaN where the model refuses it, a number out of range
    ├── TransportError                 no answer came
    │   ├── UnreachableError           never connected: nothing listens, no such host, TLS refused
    │   ├── CircuitOpenError           not even tried: the server did not answer lately
    │   ├── ConnectionLostError        the connection ended in the middle of a call
    │   ├── DeadlineExceededError (TimeoutError)
    │   ├── CallCancelledError
    │   └── BadAnswerError             an answer that is not the protocol: wrong JSON, wrong sizes
    ├── ServerError                    the server answered with an error
    │   ├── InvalidRequestError
    │   ├── AuthenticationError
    │   ├── PermissionRefusedError
    │   ├── NotFoundError              no such model, version or path
    │   ├── ConflictError
    │   ├── SequenceLostError          the server does not know the sequence any more
    │   ├── TooLargeError
    │   ├── UnsupportedError
    │   ├── QuotaExceededError
    │   ├── UnavailableError           overloaded, queue full, not ready: worth another try
    │   └── InternalServerError
    └── ClientClosedError              the client was used after ``close()``

Every gRPC status and every HTTP error code is mapped by :data:`ERROR_TABLE` alone.
"""

from __future__ import annotations

from dataclasses import dataclass


class MaasClientError(Exception):
    """Base of all errors of this library.

    Attributes:
        message: one sentence: what was wanted, what came, what to do.
        model: the model that was called, or "" where there is none.
        endpoint: the URL that was called, or "" where nothing was sent.
    """

    def __init__(self, message: str, *, model: str = "", endpoint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.model = model
        self.endpoint = endpoint

    def __str__(self) -> str:
        where = f" ({self.endpoint})" if self.endpoint else ""
        return f"{self.message}{where}"


class InputError(MaasClientError, ValueError):
    """The call was refused on this machine, before anything was sent."""


class NameMismatchError(InputError):
    """An input or output that the model does not have, or a required input that is missing."""


class DatatypeMismatchError(InputError):
    """The values are of another type than the model's input."""


class ShapeMismatchError(InputError):
    """The rank, a fixed dimension or the batch size does not fit the model's input."""


class RefusedValueError(InputError):
    """A value that cannot be sent: None, a number out of range, or NaN where the model refuses it."""


class TransportError(MaasClientError):
    """No usable answer came."""


class UnreachableError(TransportError):
    """No connection to the server could be made, so the call had no effect there."""


class CircuitOpenError(TransportError):
    """No attempt was made, because the server did not answer lately."""


class ConnectionLostError(TransportError):
    """The connection ended in the middle of a call; whether the server acted on it is not known."""


class DeadlineExceededError(TransportError, TimeoutError):
    """The call's ``timeout_s`` passed before its answer came."""


class CallCancelledError(TransportError):
    """The call was cancelled, here or on the server."""


class BadAnswerError(TransportError):
    """The answer does not follow the protocol: wrong JSON, wrong sizes, a missing field."""


class ServerError(MaasClientError):
    """The server answered with an error.

    Attributes:
        code: the gRPC status name (``"INVALID_ARGUMENT"``) or the HTTP status (``"400"``).
        retry_after_s: how long the server asked to wait, in seconds; None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        model: str = "",
        endpoint: str = "",
        code: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, model=model, endpoint=endpoint)
        self.code = code
        self.retry_after_s = retry_after_s


class InvalidRequestError(ServerError):
    """The server refused the request's content."""


class AuthenticationError(ServerError):
    """No credentials, or wrong ones."""


class PermissionRefusedError(ServerError):
    """The credentials do not allow this."""


class NotFoundError(ServerError):
    """The server has no such model, version or path."""


class ConflictError(ServerError):
    """The request contradicts the server's state."""


class SequenceLostError(ServerError):
    """The server does not know the sequence any more: idle for too long, or restarted."""


class TooLargeError(ServerError):
    """The request is larger than the server takes."""


class UnsupportedError(ServerError):
    """The server does not offer this operation or encoding."""


class QuotaExceededError(ServerError):
    """A rate, quota or resource limit was reached."""


class UnavailableError(ServerError):
    """The server cannot answer now: not ready, overloaded, its queue is full."""


class InternalServerError(ServerError):
    """The server failed while it worked on the request."""


class ClientClosedError(MaasClientError):
    """The client was used after ``close()``."""


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One row of :data:`ERROR_TABLE`: the statuses that become one exception."""

    error: type[ServerError] | type[TransportError]
    grpc: tuple[str, ...]
    http: tuple[int, ...]


ERROR_TABLE: tuple[ErrorRow, ...] = (
    ErrorRow(
        InvalidRequestError,
        ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE"),
        (400, 402, 406, 411, 412, 414, 416, 417, 418, 422, 424, 428, 431, 451),
    ),
    ErrorRow(AuthenticationError, ("UNAUTHENTICATED",), (401, 407, 511)),
    ErrorRow(PermissionRefusedError, ("PERMISSION_DENIED",), (403,)),
    ErrorRow(NotFoundError, ("NOT_FOUND",), (404, 410)),
    ErrorRow(ConflictError, ("ALREADY_EXISTS", "ABORTED"), (409, 423)),
    ErrorRow(TooLargeError, (), (413,)),
    ErrorRow(UnsupportedError, ("UNIMPLEMENTED",), (405, 415, 421, 426, 501, 505, 506, 510)),
    ErrorRow(QuotaExceededError, ("RESOURCE_EXHAUSTED",), (429,)),
    ErrorRow(UnavailableError, ("UNAVAILABLE",), (425, 502, 503)),
    ErrorRow(DeadlineExceededError, ("DEADLINE_EXCEEDED",), (408, 504)),
    ErrorRow(CallCancelledError, ("CANCELLED",), (499,)),
    ErrorRow(InternalServerError, ("INTERNAL", "UNKNOWN", "DATA_LOSS"), (500, 507, 508)),
)

ERROR_OF_GRPC = {status: row.error for row in ERROR_TABLE for status in row.grpc}
ERROR_OF_HTTP = {status: row.error for row in ERROR_TABLE for status in row.http}


def error_of_http(status: int) -> type[ServerError] | type[TransportError]:
    """The exception of an HTTP status; an unregistered 4xx is the caller's fault, a 5xx the server's (RFC 9110)."""
    if status in ERROR_OF_HTTP:
        return ERROR_OF_HTTP[status]
    if 400 <= status < 500:
        return InvalidRequestError
    return InternalServerError if 500 <= status < 600 else BadAnswerError


def server_answer(
    error: type[ServerError] | type[TransportError],
    message: str,
    *,
    endpoint: str,
    code: str,
    model: str = "",
    retry_after_s: float | None = None,
) -> MaasClientError:
    """Makes the exception that stands for a server's answer, whichever branch of the tree it is in."""
    if issubclass(error, ServerError):
        return error(message, model=model, endpoint=endpoint, code=code, retry_after_s=retry_after_s)
    return error(message, model=model, endpoint=endpoint)
