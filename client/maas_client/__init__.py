"""A client for models served by Triton: numpy arrays, text and bytes in, numpy arrays out.

::

    from maas_client import Client

    with Client("grpc://127.0.0.1:8001") as client:
        answer = client.infer("digits_cnn", image=image)  # float32 [batch, 1, 28, 28]
        print(answer["logits"], answer.model_version)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOME = {
    "TLS": "_options",
    "UNSET": "_values",
    "AsyncClient": "_async_client",
    "AsyncSequence": "_sequence",
    "Breaker": "_endpoints",
    "ClassScore": "_result",
    "Client": "_client",
    "InferResult": "_result",
    "ModelSpec": "_spec",
    "Outcome": "_map",
    "Prediction": "_predict",
    "Retry": "_retry",
    "Sequence": "_sequence",
    "TensorSpec": "_spec",
    "Timing": "_result",
    "Unset": "_values",
}
"""The module that a public name comes from; ``errors`` for all others."""


if not TYPE_CHECKING:  # type checkers would take any name

    def __getattr__(name: str) -> Any:
        """Imports what is asked for, when it is (PEP 562): numpy and grpc take longer than most commands need."""
        if name == "errors":
            return import_module(f"{__name__}.errors")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f"{__name__}.{_HOME.get(name, 'errors')}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
