"""A client for models served by Triton: numpy arrays, text and bytes in, numpy arrays out.

::

    from maas_client import Client

    with Client("grpc://127.0.0.1:8001") as client:
        answer = client.infer("digits_cnn", image=image)  # float32 [batch, 1, 28, 28]
        print(answer["logits"], answer.model_version)
"""

from __future__ import annotations

from maas_client._async_client import AsyncClient
from maas_client._client import Client
from maas_client._endpoints import Breaker
from maas_client._map import Outcome
from maas_client._options import TLS
from maas_client._predict import Prediction
from maas_client._result import ClassScore, InferResult, Timing
from maas_client._retry import Retry
from maas_client._sequence import AsyncSequence, Sequence
from maas_client._spec import ModelSpec, TensorSpec
from maas_client._values import UNSET, Unset
from maas_client.errors import (
    AuthenticationError,
    BadAnswerError,
    CallCancelledError,
    CircuitOpenError,
    ClientClosedError,
    ConflictError,
    ConnectionLostError,
    DatatypeMismatchError,
    DeadlineExceededError,
    InputError,
    InternalServerError,
    InvalidRequestError,
    MaasClientError,
    NameMismatchError,
    NotFoundError,
    PermissionRefusedError,
    QuotaExceededError,
    RefusedValueError,
    SequenceLostError,
    ServerError,
    ShapeMismatchError,
    TooLargeError,
    TransportError,
    UnavailableError,
    UnreachableError,
    UnsupportedError,
)

__all__ = [
    "TLS",
    "UNSET",
    "AsyncClient",
    "AsyncSequence",
    "AuthenticationError",
    "BadAnswerError",
    "Breaker",
    "CallCancelledError",
    "CircuitOpenError",
    "ClassScore",
    "Client",
    "ClientClosedError",
    "ConflictError",
    "ConnectionLostError",
    "DatatypeMismatchError",
    "DeadlineExceededError",
    "InferResult",
    "InputError",
    "InternalServerError",
    "InvalidRequestError",
    "MaasClientError",
    "ModelSpec",
    "NameMismatchError",
    "NotFoundError",
    "Outcome",
    "PermissionRefusedError",
    "Prediction",
    "QuotaExceededError",
    "RefusedValueError",
    "Retry",
    "Sequence",
    "SequenceLostError",
    "ServerError",
    "ShapeMismatchError",
    "TensorSpec",
    "Timing",
    "TooLargeError",
    "TransportError",
    "UnavailableError",
    "UnreachableError",
    "Unset",
    "UnsupportedError",
]
