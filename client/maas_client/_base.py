"""What the synchronous and the asynchronous client share: everything but the waiting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from maas_client._build import Asked
from maas_client._calls import ConfigCall, LiveCall, MetadataCall, ParameterValue, ReadyCall
from maas_client._check import check_model_name
from maas_client._core import Core
from maas_client._deadline import LONGEST_S, Deadline
from maas_client._endpoints import Breaker, Endpoints
from maas_client._lifetime import Lifetime
from maas_client._options import TLS, Options
from maas_client._retry import NO_RETRY, Retry
from maas_client._steps import Exchange, Operation
from maas_client._url import Endpoint
from maas_client._values import Unset
from maas_client.errors import NameMismatchError, RefusedValueError, TransportError, UnavailableError

if TYPE_CHECKING:
    from maas_client.testing import FakeTransport

WireT = TypeVar("WireT")
Timeout = float | Unset | None
"""Seconds; None waits for ever; UNSET takes the client's."""

Via = Literal["system_shared_memory"] | None
"""How tensors travel; None is over the network."""

RESERVED_PARAMETERS = frozenset(
    {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"}
)
"""What Triton itself reads from a request's parameters ("parameters extension")."""


class BaseClient(ABC, Generic[WireT]):
    """Options and operations of both clients; the arguments are described at :class:`maas_client.Client`."""

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        timeout_s: float | None = 60.0,
        retry: Retry | None = Retry(),  # noqa: B008  # immutable
        breaker: Breaker = Breaker(),  # noqa: B008  # immutable
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        api_key: str | None = None,
        tls: TLS | None = None,
        compression: str | None = None,
        hedge_after_s: float | None = None,
        transport: FakeTransport | None = None,
    ) -> None:
        addresses = [Endpoint.parse(one) for one in ([url] if isinstance(url, str) or url is None else url)]
        if len({address.is_grpc for address in addresses}) != 1:
            raise RefusedValueError(f"url is one URL or several of one protocol, got {[str(one) for one in addresses]}")
        Deadline(timeout_s)
        if hedge_after_s is not None and not (
            isinstance(hedge_after_s, int | float) and 0 < hedge_after_s <= LONGEST_S
        ):
            raise RefusedValueError(f"hedge_after_s is a positive number of seconds or None, got {hedge_after_s!r}")
        self._timeout_s = timeout_s
        self._options = Options.make(headers, token, api_key, tls, compression)
        self._core = Core(Endpoints(addresses, breaker), retry or NO_RETRY, hedge_after_s)
        self._lifetime = Lifetime(str(addresses[0]))
        if transport is None:
            self._wires = [self._make_wire(address, self._options) for address in addresses]
        else:
            self._wires = [self._fake_wire(transport) for _ in addresses]

    @staticmethod
    @abstractmethod
    def _fake_wire(transport: FakeTransport) -> WireT:
        """What carries calls to a server that is not there."""

    @staticmethod
    @abstractmethod
    def _make_wire(endpoint: Endpoint, options: Options) -> WireT:
        """What carries calls to one endpoint."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The servers' addresses."""
        return self._core.endpoints.addresses

    def pin(self, model: str, model_version: int | str | None) -> None:
        """Asks a model for this version in all later calls that name none; None goes back to the server's choice."""
        self._core.pin(model, model_version)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(str(address)) for address in self.endpoints)})"

    def _deadline(self, timeout_s: Timeout) -> Deadline:
        return Deadline(self._timeout_s if isinstance(timeout_s, Unset) else timeout_s)

    def _health(self, call: LiveCall | ReadyCall, timeout_s: Timeout) -> Operation[bool]:
        """Asks past retries and circuit breaker: the answer "no" is an answer. Any ready server will do."""
        deadline = self._deadline(timeout_s)
        for index in range(len(self.endpoints)):
            try:
                if (yield Exchange(call, deadline, index)):
                    return True
            except (TransportError, UnavailableError):
                continue
        return False

    def _model_ready(self, model: str, model_version: int | str | None) -> ReadyCall:
        return ReadyCall(model, self._core.version(check_model_name(model), model_version))

    def _metadata(self, model: str, model_version: int | str | None, timeout_s: Timeout) -> Operation[dict[str, Any]]:
        version = self._core.version(model, model_version) if model else ""
        return self._core.description(MetadataCall(model, version), self._deadline(timeout_s))

    def _config(self, model: str, model_version: int | str | None, timeout_s: Timeout) -> Operation[dict[str, Any]]:
        call = ConfigCall(model, self._core.version(model, model_version))
        return self._core.description(call, self._deadline(timeout_s))


def asked(
    model: str,
    inputs: Mapping[str, Any] | None,
    named_inputs: Mapping[str, Any],
    *,
    outputs: Sequence[str] | None,
    cast: bool,
    request_id: str,
    priority: int = 0,
    server_timeout_us: int | None = None,
    parameters: Mapping[str, ParameterValue] | None,
    class_count: int | None = None,
) -> Asked:
    """What a caller passed to ``infer``, in one piece.

    Raises:
        NameMismatchError: an input is passed twice.
        RefusedValueError: a parameter is reserved, or of a type that the protocol does not have.
    """
    if parameters or priority or server_timeout_us is not None:
        parameters = _parameters(model, parameters or {}, priority, server_timeout_us)
    return Asked(
        named_inputs if inputs is None else _merged(model, inputs, named_inputs),
        outputs,
        cast,
        request_id,
        parameters or {},
        class_count,
    )


def is_shared(model: str, via: Via) -> bool:
    """Whether tensors are to travel through shared memory.

    Raises:
        RefusedValueError: there is no such way.
    """
    if via not in {None, "system_shared_memory"}:
        raise RefusedValueError(
            f"{model}: via is 'system_shared_memory' or None, got {via!r}; leave it out for the network", model=model
        )
    return via is not None


def _merged(model: str, inputs: Mapping[str, Any], named_inputs: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(inputs, Mapping):
        raise NameMismatchError(
            f"{model}: inputs is a mapping from name to values, got {type(inputs).__name__}; pass {{name: values}}"
        )
    twice = inputs.keys() & named_inputs.keys()
    if twice:
        raise NameMismatchError(f"{model}: {sorted(twice)} are passed twice; pass each input once", model=model)
    return {**inputs, **named_inputs}


def _parameters(
    model: str, parameters: Mapping[str, ParameterValue], priority: int, server_timeout_us: int | None
) -> dict[str, ParameterValue]:
    for name, value in parameters.items():
        if name in RESERVED_PARAMETERS or name.startswith("triton_"):
            raise RefusedValueError(
                f"{model}: the parameter {name!r} is Triton's own; use the argument of infer for it"
            )
        if not isinstance(value, bool | int | float | str) or (
            isinstance(value, int) and not -(2**63) <= value < 2**63
        ):
            kind = type(value).__name__
            raise RefusedValueError(
                f"{model}: the parameter {name!r} is a bool, a 64-bit integer, a float or a string, got {kind}"
            )
    values = dict(parameters)
    for name, number in (("priority", priority), ("timeout", server_timeout_us)):
        if number is None or (name == "priority" and number == 0):
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**63:
            raise RefusedValueError(f"{model}: {name} is a non-negative integer, got {number!r}; see the docs of infer")
        values[name] = number
    return values
