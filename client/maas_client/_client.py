"""The synchronous client."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from collections.abc import Sequence as SequenceOf
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from maas_client._base import BaseClient, Timeout, Via, asked, is_shared
from maas_client._calls import LiveCall, ParameterValue, ReadyCall
from maas_client._deadline import Deadline
from maas_client._drive import Driver, Wire, submit
from maas_client._map import MapOptions, Outcome, gather, send, told
from maas_client._options import Options
from maas_client._predict import Prediction, Values, check_classifier
from maas_client._progress import Bar
from maas_client._result import InferResult
from maas_client._sequence import Sequence, SequenceState
from maas_client._spec import ModelSpec
from maas_client._steps import Operation
from maas_client._tracing import span_of_stream
from maas_client._url import Endpoint
from maas_client._values import UNSET
from maas_client.errors import MaasClientError

if TYPE_CHECKING:
    from maas_client.testing import FakeTransport

_T = TypeVar("_T")


class Client(BaseClient[Wire]):
    """Calls models that Triton serves. It may be shared between threads; use it in a ``with`` block, or close it.

    Args:
        url: ``grpc://127.0.0.1:8001`` or ``http://127.0.0.1:8000`` (``grpcs`` and ``https`` for TLS), or a list of URLs
            of one protocol: calls then go round over those that answer.
        timeout_s: the deadline of each call in seconds, unless the call has its own; None waits for ever.
        retry: repeats calls that failed for a transient reason; None never repeats.
        breaker: when a server that does not answer is left alone.
        headers: sent with every request; never shown.
        token: sent as ``Authorization: Bearer ...``; never shown.
        api_key: sent as ``X-API-Key``; never shown.
        tls: certificates for https and grpcs.
        compression: "gzip" or "deflate" for requests and answers; None sends them as they are.
        hedge_after_s: a call that has no answer after so many seconds is sent once more, to another server where there
            is one, and the first answer counts; None never does. Only for models that may be asked twice.
        transport: answers in place of a server, for tests: :class:`maas_client.testing.FakeTransport`.

    Raises:
        RefusedValueError: an argument cannot be used. Nothing is sent before the first call.
    """

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: SequenceOf[str] | None = None,
        model_version: int | str | None = None,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        split: bool = False,
        request_id: str = "",
        priority: int = 0,
        server_timeout_us: int | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        class_count: int | None = None,
        via: Via = None,
        **named_inputs: Any,
    ) -> InferResult:
        """Asks a model for one answer.

        Values are numpy arrays (the dtype must be the model's), nested lists, numbers, ``str`` or ``bytes``. Their
        shape is the model's, with the batch axis where it has one; a single number or text may stand for a shape of
        all ones. BF16 is passed and returned as float32.

        Args:
            model: its name.
            inputs: input name -> values, for names that are no Python names or that this method uses itself.
            outputs: the outputs wanted; None is all.
            model_version: None lets the server choose: the highest ready version, unless one was pinned.
            timeout_s: the deadline for all of it, the model's description and repetitions included.
            cast: convert arrays where numpy calls that safe (uint8 -> FP32, not float64 -> FP32).
            split: send a batch larger than ``max_batch_size`` in parts, at the same time, and join the answers in
                order.
            request_id: comes back in the result and stands in the server's log.
            priority: 1 is the highest, where the model's ``dynamic_batching`` has levels; 0 is the model's default.
            server_timeout_us: how long the request may wait in the server's queue, in microseconds, where the
                model's queue policy allows it.
            parameters: the request's own, for the model or a gateway.
            class_count: the so many best classes of each output in place of its values (Triton's "classification
                extension"): :meth:`InferResult.classes` reads them.
            via: "system_shared_memory" passes tensors through shared memory where the server is on this machine and
                allows it, else over the network; outputs of unknown size and BYTES always come over the network.
            named_inputs: input name -> values.

        Returns:
            a mapping from output name to array that knows the model and version that answered.

        Raises:
            InputError: refused here, before anything was sent.
            TransportError: no answer came.
            ServerError: the server answered with an error.
        """
        wanted = asked(
            model,
            inputs,
            named_inputs,
            outputs=outputs,
            cast=cast,
            request_id=request_id,
            priority=priority,
            server_timeout_us=server_timeout_us,
            parameters=parameters,
            class_count=class_count,
        )
        deadline = self._deadline(timeout_s)
        return self._run(
            self._core.infer(
                model, wanted, model_version=model_version, deadline=deadline, split=split, shared=is_shared(model, via)
            )
        )

    def map(
        self,
        model: str,
        samples: Iterable[Any],
        /,
        *,
        outputs: SequenceOf[str] | None = None,
        model_version: int | str | None = None,
        batch_size: int | None = None,
        concurrency: int = 4,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        errors: Literal["raise", "return"] = "raise",
        progress: bool | None = None,
    ) -> Generator[Outcome, None, None]:
        """Asks a model about many single samples and gives the answers one by one, in order.

        Neighbours of equal shape travel in one request, several requests are under way, and no more samples are taken
        from the iterable than that needs. Where the server refuses a request of several samples, each is sent alone.

        Args:
            model: its name.
            samples: one value each, or a mapping from input name to value, all without the batch axis.
            outputs: the outputs wanted; None is all.
            model_version: None lets the server choose.
            batch_size: samples in one request at most; None is the model's ``max_batch_size``.
            concurrency: requests under way at most.
            timeout_s: the deadline of each request.
            cast: as in :meth:`infer`.
            errors: "raise" ends at the first sample that fails; "return" gives its error in its place and goes on.
            progress: show a bar on standard error; None shows one where that is a terminal.

        Yields:
            for each sample a result whose arrays have no batch axis, or, with ``errors="return"``, its error.
        """
        options = MapOptions(outputs, model_version, batch_size, concurrency, self._deadline(timeout_s).timeout_s, cast)
        builder = self._run(
            self._core.builder(model, self._core.version(model, model_version), Deadline(options.timeout_s))
        )
        with Bar(model, samples, progress) as bar, ThreadPoolExecutor(concurrency) as pool:
            pending: deque[Future[list[Outcome]]] = deque()
            try:
                for group in gather(builder, samples, options):
                    pending.append(submit(pool, self._run, send(self._core, builder, group, options)))
                    if len(pending) > concurrency:
                        yield from told(pending.popleft().result(), bar, errors)
                while pending:
                    yield from told(pending.popleft().result(), bar, errors)
            finally:
                for future in pending:
                    future.cancel()

    def stream(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: SequenceOf[str] | None = None,
        model_version: int | str | None = None,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        request_id: str = "",
        parameters: Mapping[str, ParameterValue] | None = None,
        **named_inputs: Any,
    ) -> Generator[InferResult, None, None]:
        """Asks a decoupled model, and yields its answers as they come; leaving the loop cancels on the server.

        Over gRPC any tensor can be streamed; over HTTP (Triton's ``generate_stream``) one row with at most one axis.
        A stream is not repeated when it fails.

        Args:
            model: its name.
            inputs: input name -> values.
            outputs: the outputs wanted; None is all.
            model_version: None lets the server choose.
            timeout_s: the deadline for all of the stream.
            cast: as in :meth:`infer`.
            request_id: comes back in the results.
            parameters: the request's own.
            named_inputs: input name -> values.

        Yields:
            a result for each answer.

        Raises:
            MaasClientError: as for :meth:`infer`, at the first answer or between two.
        """
        wanted = asked(
            model, inputs, named_inputs, outputs=outputs, cast=cast, request_id=request_id, parameters=parameters
        )
        started, deadline = time.monotonic(), self._deadline(timeout_s)
        stream, endpoint = self._run(
            self._core.begin_stream(model, wanted, model_version=model_version, deadline=deadline)
        )
        self._lifetime.check()
        try:
            with span_of_stream(stream, self.endpoints[endpoint]) as told:
                for answer in self._wires[endpoint].stream(told, deadline):
                    yield self._core.stream_result(stream, endpoint, answer, started)
        except MaasClientError as error:
            self._core.endpoints.circuits[endpoint].failed(error)
            raise

    def predict(
        self,
        model: str,
        items: Iterable[Path | bytes | str | Any],
        /,
        *,
        model_version: int | str | None = None,
        timeout_s: Timeout = UNSET,
        concurrency: int = 4,
        progress: bool | None = None,
    ) -> list[Prediction]:
        """Asks a model that does its own pre- and postprocessing about pictures or texts.

        Args:
            model: one with a single BYTES input and the outputs ``label`` and ``score``.
            items: a :class:`~pathlib.Path` is read, a PIL picture is sent as PNG, ``bytes`` and ``str`` as they are.
            model_version: None lets the server choose.
            timeout_s: the deadline of each request.
            concurrency: requests under way at most.
            progress: as in :meth:`map`.

        Returns:
            a prediction for each item, in order; an item that failed has its ``error`` set, the others their labels.

        Raises:
            MaasClientError: the model is not there, or is no such model.
        """
        version, deadline = self._core.version(model, model_version), self._deadline(timeout_s)
        self._run(self._core.made(model, version, deadline, lambda builder: check_classifier(builder.spec)))
        outcomes = self.map(
            model,
            Values(items),
            model_version=model_version,
            timeout_s=timeout_s,
            concurrency=concurrency,
            errors="return",
            progress=progress,
        )
        return [Prediction.of(outcome, model) for outcome in outcomes]

    def sequence(
        self, model: str, *, model_version: int | str | None = None, sequence_id: int | str | None = None
    ) -> Sequence:
        """A sequence of calls to a model that keeps a state between them, for a ``with`` block.

        START is set on its first step, END on leaving the block (the last inputs are sent once more, and the answer is
        dropped) or on a step with ``last=True``. All steps go to one server and one version.

        Args:
            model: one with ``sequence_batching``.
            model_version: None lets the server choose.
            sequence_id: a positive integer or a text; None makes one.

        Raises:
            RefusedValueError: the id is neither.
        """
        return Sequence(self, SequenceState(self._core, model, model_version, sequence_id))

    def is_live(self, *, timeout_s: Timeout = UNSET) -> bool:
        """Whether a server answers and says that it is alive; False also when none can be reached."""
        return self._run(self._health(LiveCall(), timeout_s))

    def is_ready(self, *, timeout_s: Timeout = UNSET) -> bool:
        """Whether a server says that it is ready; False also when none can be reached."""
        return self._run(self._health(ReadyCall(), timeout_s))

    def model_ready(self, model: str, *, model_version: int | str | None = None, timeout_s: Timeout = UNSET) -> bool:
        """Whether a model, in any or in the given version, is ready; False also when no server can be reached."""
        return self._run(self._health(self._model_ready(model, model_version), timeout_s))

    def metadata(
        self, model: str = "", *, model_version: int | str | None = None, timeout_s: Timeout = UNSET
    ) -> dict[str, Any]:
        """The metadata of the server, or of a model, as KServe v2 defines it; the same over both protocols."""
        return self._run(self._metadata(model, model_version, timeout_s))

    def config(
        self, model: str, *, model_version: int | str | None = None, timeout_s: Timeout = UNSET
    ) -> dict[str, Any]:
        """A model's configuration (Triton's ``ModelConfig``); the same over both protocols."""
        return self._run(self._config(model, model_version, timeout_s))

    def describe(self, model: str, *, model_version: int | str | None = None, timeout_s: Timeout = UNSET) -> ModelSpec:
        """What a model takes and gives, as this client checks it."""
        version = self._core.version(model, model_version)
        return self._run(self._core.builder(model, version, self._deadline(timeout_s))).spec

    def close(self) -> None:
        """Closes the connections. A second call does nothing."""
        if not self._lifetime.is_over:
            self._run(self._core.shared_memory.close(self.endpoints))
        self._lifetime.is_over = True
        for wire in self._wires:
            wire.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _fake_wire(transport: FakeTransport) -> Wire:
        return transport

    @staticmethod
    def _make_wire(endpoint: Endpoint, options: Options) -> Wire:
        # Imported here: grpcio takes longer to import than everything else together, and HTTP users never need it.
        if endpoint.is_grpc:
            from maas_client._grpc_wire import GrpcWire

            return GrpcWire(endpoint, options)
        from maas_client._http_wire import HttpWire

        return HttpWire(endpoint, options)

    @cached_property
    def _driver(self) -> Driver:
        return Driver(self._wires, self.endpoints, self._lifetime)

    def _run(self, operation: Operation[_T]) -> _T:
        return self._driver.run(operation)
