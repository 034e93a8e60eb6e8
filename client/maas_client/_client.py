"""The synchronous client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar

from maas_client._calls import Answer, Call, ConfigCall, LiveCall, MetadataCall, ParameterValue, ReadyCall
from maas_client._check import check_model_name, check_version
from maas_client._core import Core, Operation
from maas_client._deadline import Deadline
from maas_client._result import InferResult
from maas_client._spec import ModelSpec
from maas_client._url import Endpoint
from maas_client._values import UNSET, Unset
from maas_client.errors import ClientClosedError, MaasClientError, NameMismatchError, TransportError

_T = TypeVar("_T")


class Wire(Protocol):
    """Carries calls to one endpoint."""

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Makes one call."""

    def close(self) -> None:
        """Frees what the wire holds."""


class Client:
    """Calls the models of one server. It may be shared between threads; use it in a ``with`` block, or close it.

    Args:
        url: ``grpc://127.0.0.1:8001`` or ``http://127.0.0.1:8000``; ``grpcs`` and ``https`` for TLS.
        timeout_s: the deadline of each call in seconds, unless the call has its own; None waits for ever.
        headers: sent with every request; never shown.

    Raises:
        RefusedValueError: the URL or the timeout cannot be used. Nothing is sent before the first call.
    """

    def __init__(self, url: str, *, timeout_s: float | None = 60.0, headers: Mapping[str, str] | None = None) -> None:
        self.endpoint = Endpoint.parse(url)
        Deadline(timeout_s)
        self._timeout_s = timeout_s
        self._core = Core()
        self._wire = _make_wire(self.endpoint, dict(headers or {}))
        self._closed = False

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: Sequence[str] | None = None,
        model_version: int | str | None = None,
        timeout_s: float | Unset | None = UNSET,
        cast: bool = False,
        request_id: str = "",
        parameters: Mapping[str, ParameterValue] | None = None,
        **named_inputs: Any,
    ) -> InferResult:
        """Asks a model for one answer.

        Args:
            model: its name.
            inputs: input name -> values, for names that are no Python names or that this method uses itself.
            outputs: the outputs wanted; None is all.
            model_version: None lets the server choose: the highest ready version.
            timeout_s: the deadline for all of it, the model's description included.
            cast: convert arrays where numpy calls that safe (uint8 -> FP32, not float64 -> FP32).
            request_id: comes back in the result and stands in the server's log.
            parameters: the request's own, for the model or a gateway.
            named_inputs: input name -> values.

        Values are numpy arrays (the dtype must be the model's), nested lists, numbers, ``str`` or ``bytes``. Their
        shape is the model's, with the batch axis where it has one; a single number or text may stand for a shape of
        all ones.

        Returns:
            a mapping from output name to array that knows the model and version that answered.

        Raises:
            InputError: refused here, before anything was sent.
            TransportError: no answer came.
            ServerError: the server answered with an error.
        """
        values = dict(inputs or {})
        twice = values.keys() & named_inputs.keys()
        if twice:
            raise NameMismatchError(f"{model}: {sorted(twice)} are passed twice; pass each input once", model=model)
        values.update(named_inputs)
        return self._run(
            self._core.infer(
                model,
                values,
                outputs=outputs,
                model_version=model_version,
                deadline=self._deadline(timeout_s),
                cast=cast,
                request_id=request_id,
                parameters=parameters or {},
            )
        )

    def is_live(self, *, timeout_s: float | Unset | None = UNSET) -> bool:
        """Whether the server answers and says that it is alive; False also when it cannot be reached."""
        return self._healthy(LiveCall(), timeout_s)

    def is_ready(self, *, timeout_s: float | Unset | None = UNSET) -> bool:
        """Whether the server says that it is ready; False also when it cannot be reached."""
        return self._healthy(ReadyCall(), timeout_s)

    def model_ready(
        self, model: str, *, model_version: int | str | None = None, timeout_s: float | Unset | None = UNSET
    ) -> bool:
        """Whether a model, in any or in the given version, is ready; False also when the server cannot be reached."""
        return self._healthy(ReadyCall(check_model_name(model), check_version(model_version, model)), timeout_s)

    def metadata(
        self, model: str = "", *, model_version: int | str | None = None, timeout_s: float | Unset | None = UNSET
    ) -> dict[str, Any]:
        """The metadata of the server, or of a model, as KServe v2 defines it; the same over both protocols."""
        version = check_version(model_version, check_model_name(model)) if model else ""
        return self._object(MetadataCall(model, version), timeout_s)

    def config(
        self, model: str, *, model_version: int | str | None = None, timeout_s: float | Unset | None = UNSET
    ) -> dict[str, Any]:
        """A model's configuration (Triton's ``ModelConfig``); the same over both protocols."""
        return self._object(ConfigCall(check_model_name(model), check_version(model_version, model)), timeout_s)

    def describe(
        self, model: str, *, model_version: int | str | None = None, timeout_s: float | Unset | None = UNSET
    ) -> ModelSpec:
        """What a model takes and gives, as this client checks it."""
        version = check_version(model_version, check_model_name(model))
        return self._run(self._core.describe(model, version, self._deadline(timeout_s)))

    def close(self) -> None:
        """Closes the connections. A second call does nothing."""
        self._closed = True
        self._wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({str(self.endpoint)!r})"

    def _deadline(self, timeout_s: float | Unset | None) -> Deadline:
        return Deadline(self._timeout_s if isinstance(timeout_s, Unset) else timeout_s)

    def _exchange(self, call: Call, deadline: Deadline) -> Answer:
        if self._closed:
            raise ClientClosedError("this client is closed; make a new one", endpoint=str(self.endpoint))
        return self._wire.exchange(call, deadline)

    def _run(self, operation: Operation[_T]) -> _T:
        try:
            step = next(operation)
            while True:
                try:
                    answer = self._exchange(*step)
                except MaasClientError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(answer)
        except StopIteration as stop:
            value: _T = stop.value
            return value

    def _healthy(self, call: Call, timeout_s: float | Unset | None) -> bool:
        try:
            return bool(self._exchange(call, self._deadline(timeout_s)))
        except TransportError:
            return False

    def _object(self, call: Call, timeout_s: float | Unset | None) -> dict[str, Any]:
        answer = self._exchange(call, self._deadline(timeout_s))
        if not isinstance(answer, dict):
            raise TypeError(f"a description was asked for, the wire gave {type(answer).__name__}")
        return answer


def _make_wire(endpoint: Endpoint, headers: Mapping[str, str]) -> Wire:
    # Imported here: grpcio takes longer to import than everything else together, and HTTP users never need it.
    if endpoint.is_grpc:
        from maas_client._grpc_wire import GrpcWire

        return GrpcWire(endpoint, headers)
    from maas_client._http_wire import HttpWire

    return HttpWire(endpoint, headers)
