"""What the synchronous client does with the steps of an operation."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Protocol, TypeVar

from maas_client._calls import Answer, Call, InferAnswer, InferCall
from maas_client._deadline import Deadline
from maas_client._lifetime import Lifetime
from maas_client._steps import Exchange, Operation, Pause, Race, Raced, Step
from maas_client._stream import StreamCall
from maas_client._tracing import attempt_span, is_traced
from maas_client._url import Endpoint
from maas_client.errors import MaasClientError

_T = TypeVar("_T")
_MAX_TOGETHER = 8
"""Parts of one split batch that are under way at the same time."""


class Wire(Protocol):
    """Carries calls to one endpoint."""

    def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Makes one call."""

    def stream(self, stream: StreamCall, deadline: Deadline) -> Iterator[InferAnswer]:
        """Makes one call that any number of answers follow."""

    def close(self) -> None:
        """Frees what the wire holds."""


def submit(pool: ThreadPoolExecutor, run: Callable[..., _T], *arguments: Any) -> Future[_T]:
    """Runs a function in a thread, in the caller's context: a trace goes on there."""
    return pool.submit(copy_context().run, run, *arguments)


class Driver:
    """Runs operations over wires, one for each endpoint.

    Args:
        wires: in the order of ``addresses``.
        addresses: the endpoints.
        lifetime: the client's.
    """

    __slots__ = ("_addresses", "_lifetime", "_wires")

    def __init__(self, wires: list[Wire], addresses: tuple[Endpoint, ...], lifetime: Lifetime) -> None:
        self._wires = wires
        self._addresses = addresses
        self._lifetime = lifetime

    def run(self, operation: Operation[_T]) -> _T:
        """Does what an operation asks for, to its end.

        Raises:
            MaasClientError: the operation's own.
        """
        try:
            step = next(operation)
            while True:
                try:
                    if type(step) is Exchange and not is_traced():
                        # Nearly every step: done here, since every call of a function is felt in a request of 0.3 ms.
                        self._lifetime.check()
                        outcome = self._wires[step.endpoint].exchange(step.call, step.deadline)
                    else:
                        outcome = self._do(step)
                except MaasClientError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(outcome)
        except StopIteration as stop:
            value: _T = stop.value
            return value

    def _do(self, step: Step) -> Any:
        if isinstance(step, Exchange):
            self._lifetime.check()
            return self._exchange(step)
        if isinstance(step, Race):
            self._lifetime.check()
            return self._race(step)
        if isinstance(step, Pause):
            time.sleep(step.duration_s)
            return None
        with ThreadPoolExecutor(min(_MAX_TOGETHER, len(step.operations))) as pool:
            futures = [submit(pool, self.run, operation) for operation in step.operations]
        return [future.result() for future in futures]

    def _exchange(self, step: Exchange) -> Answer:
        wire = self._wires[step.endpoint]
        if is_traced() and isinstance(step.call, InferCall):
            with attempt_span(step.call, self._addresses[step.endpoint]) as call:
                return wire.exchange(call, step.deadline)
        return wire.exchange(step.call, step.deadline)

    def _race(self, race: Race) -> Raced:
        """The loser ends by itself: a thread that waits for an answer cannot be stopped."""
        outcomes: queue.SimpleQueue[tuple[Exchange, Answer | BaseException]] = queue.SimpleQueue()

        def attempt(exchange: Exchange) -> None:
            try:
                outcomes.put((exchange, self._exchange(exchange)))
            except BaseException as error:  # noqa: BLE001  # raised in the caller's thread, which waits for it
                outcomes.put((exchange, error))

        def begin(exchange: Exchange) -> None:
            context = copy_context()
            threading.Thread(target=context.run, args=(attempt, exchange), name="maas-hedge", daemon=True).start()

        begin(race.first)
        try:
            ended, attempts = [outcomes.get(timeout=race.after_s)], 1
        except queue.Empty:
            begin(race.second)
            ended, attempts = [outcomes.get()], 2
            if isinstance(ended[0][1], BaseException):
                ended.append(outcomes.get())
        failures: list[tuple[int, MaasClientError]] = []
        for exchange, outcome in ended:
            if not isinstance(outcome, BaseException):
                return Raced(outcome, exchange.endpoint, attempts, tuple(failures))
            if not isinstance(outcome, MaasClientError):
                raise outcome
            failures.append((exchange.endpoint, outcome))
        return Raced(None, failures[-1][0], attempts, tuple(failures))
