"""The asynchronous client: the same operations, awaited."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from maas_client._base import BaseClient, Timeout, Via, asked, is_shared
from maas_client._calls import LiveCall, ParameterValue, ReadyCall
from maas_client._deadline import Deadline
from maas_client._drive_async import AsyncDriver, AsyncWire
from maas_client._map import MapOptions, Outcome, gather, send, told
from maas_client._options import Options
from maas_client._predict import Prediction, Values, check_classifier
from maas_client._progress import Bar
from maas_client._result import InferResult
from maas_client._sequence import AsyncSequence, SequenceState
from maas_client._spec import ModelSpec
from maas_client._steps import Operation
from maas_client._tracing import span_of_stream
from maas_client._url import Endpoint
from maas_client._values import UNSET
from maas_client.errors import MaasClientError

if TYPE_CHECKING:
    from maas_client.testing import FakeTransport

_T = TypeVar("_T")


class AsyncClient(BaseClient[AsyncWire]):
    """Calls models that Triton serves, from asyncio: :class:`maas_client.Client` with ``await``.

    It may be used from several event loops, each of which gets connections of its own; use it in an ``async with``
    block, or close it.
    """

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: Sequence[str] | None = None,
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
        """Asks a model for one answer: see :meth:`maas_client.Client.infer`."""
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
        return await self._run(
            self._core.infer(
                model, wanted, model_version=model_version, deadline=deadline, split=split, shared=is_shared(model, via)
            )
        )

    async def map(
        self,
        model: str,
        samples: Iterable[Any],
        /,
        *,
        outputs: Sequence[str] | None = None,
        model_version: int | str | None = None,
        batch_size: int | None = None,
        concurrency: int = 4,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        errors: Literal["raise", "return"] = "raise",
        progress: bool | None = None,
    ) -> AsyncGenerator[Outcome, None]:
        """Asks a model about many single samples, in order: see :meth:`maas_client.Client.map`."""
        # Imported here, as in _do.
        import asyncio

        options = MapOptions(outputs, model_version, batch_size, concurrency, self._deadline(timeout_s).timeout_s, cast)
        builder = await self._run(
            self._core.builder(model, self._core.version(model, model_version), Deadline(options.timeout_s))
        )
        pending: deque[asyncio.Task[list[Outcome]]] = deque()
        with Bar(model, samples, progress) as bar:
            try:
                for group in gather(builder, samples, options):
                    pending.append(asyncio.create_task(self._run(send(self._core, builder, group, options))))
                    if len(pending) > concurrency:
                        for outcome in told(await pending.popleft(), bar, errors):
                            yield outcome
                while pending:
                    for outcome in told(await pending.popleft(), bar, errors):
                        yield outcome
            finally:
                for task in pending:
                    task.cancel()

    async def stream(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        outputs: Sequence[str] | None = None,
        model_version: int | str | None = None,
        timeout_s: Timeout = UNSET,
        cast: bool = False,
        request_id: str = "",
        parameters: Mapping[str, ParameterValue] | None = None,
        **named_inputs: Any,
    ) -> AsyncGenerator[InferResult, None]:
        """Asks a decoupled model, and yields its answers as they come: see :meth:`maas_client.Client.stream`.

        To leave the loop early and cancel at once, use ``contextlib.aclosing``: Python closes a forgotten asynchronous
        iterator only some time later.
        """
        wanted = asked(
            model, inputs, named_inputs, outputs=outputs, cast=cast, request_id=request_id, parameters=parameters
        )
        started, deadline = time.monotonic(), self._deadline(timeout_s)
        stream, endpoint = await self._run(
            self._core.begin_stream(model, wanted, model_version=model_version, deadline=deadline)
        )
        self._lifetime.check()
        try:
            with span_of_stream(stream, self.endpoints[endpoint]) as told:
                async with aclosing(self._wires[endpoint].stream(told, deadline)) as answers:
                    async for answer in answers:
                        yield self._core.stream_result(stream, endpoint, answer, started)
        except MaasClientError as error:
            self._core.endpoints.circuits[endpoint].failed(error)
            raise

    async def predict(
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
        """Asks a model about pictures or texts: see :meth:`maas_client.Client.predict`."""
        version, deadline = self._core.version(model, model_version), self._deadline(timeout_s)
        await self._run(self._core.made(model, version, deadline, lambda builder: check_classifier(builder.spec)))
        outcomes = self.map(
            model,
            Values(items),
            model_version=model_version,
            timeout_s=timeout_s,
            concurrency=concurrency,
            errors="return",
            progress=progress,
        )
        return [Prediction.of(outcome, model) async for outcome in outcomes]

    def sequence(
        self, model: str, *, model_version: int | str | None = None, sequence_id: int | str | None = None
    ) -> AsyncSequence:
        """A sequence of calls, for an ``async with`` block: see :meth:`maas_client.Client.sequence`."""
        return AsyncSequence(self, SequenceState(self._core, model, model_version, sequence_id))

    async def is_live(self, *, timeout_s: Timeout = UNSET) -> bool:
        """See :meth:`maas_client.Client.is_live`."""
        return await self._run(self._health(LiveCall(), timeout_s))

    async def is_ready(self, *, timeout_s: Timeout = UNSET) -> bool:
        """See :meth:`maas_client.Client.is_ready`."""
        return await self._run(self._health(ReadyCall(), timeout_s))

    async def model_ready(
        self, model: str, *, model_version: int | str | None = None, timeout_s: Timeout = UNSET
    ) -> bool:
        """See :meth:`maas_client.Client.model_ready`."""
        return await self._run(self._health(self._model_ready(model, model_version), timeout_s))

    async def metadata(
        self, model: str = "", *, model_version: int | str | None = None, timeout_s: Timeout = UNSET
    ) -> dict[str, Any]:
        """See :meth:`maas_client.Client.metadata`."""
        return await self._run(self._metadata(model, model_version, timeout_s))

    async def config(
        self, model: str, *, model_version: int | str | None = None, timeout_s: Timeout = UNSET
    ) -> dict[str, Any]:
        """See :meth:`maas_client.Client.config`."""
        return await self._run(self._config(model, model_version, timeout_s))

    async def describe(
        self, model: str, *, model_version: int | str | None = None, timeout_s: Timeout = UNSET
    ) -> ModelSpec:
        """See :meth:`maas_client.Client.describe`."""
        version = self._core.version(model, model_version)
        return (await self._run(self._core.builder(model, version, self._deadline(timeout_s)))).spec

    async def close(self) -> None:
        """Closes the connections of the running loop. A second call does nothing."""
        if not self._lifetime.is_over:
            await self._run(self._core.shared_memory.close(self.endpoints))
        self._lifetime.is_over = True
        for wire in self._wires:
            await wire.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @staticmethod
    def _fake_wire(transport: FakeTransport) -> AsyncWire:
        return transport.for_asyncio()

    @staticmethod
    def _make_wire(endpoint: Endpoint, options: Options) -> AsyncWire:
        # Imported here, as in the synchronous client.
        if endpoint.is_grpc:
            from maas_client._grpc_async import AsyncGrpcWire

            return AsyncGrpcWire(endpoint, options)
        from maas_client._http_async import AsyncHttpWire

        return AsyncHttpWire(endpoint, options)

    @cached_property
    def _driver(self) -> AsyncDriver:
        return AsyncDriver(self._wires, self.endpoints, self._lifetime)

    async def _run(self, operation: Operation[_T]) -> _T:
        return await self._driver.run(operation)
