"""What the asynchronous client does with the steps of an operation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
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


class AsyncWire(Protocol):
    """Carries calls to one endpoint."""

    async def exchange(self, call: Call, deadline: Deadline) -> Answer:
        """Makes one call."""

    def stream(self, stream: StreamCall, deadline: Deadline) -> AsyncGenerator[InferAnswer, None]:
        """Makes one call that any number of answers follow."""

    async def close(self) -> None:
        """Frees what the wire holds for the running loop."""


class AsyncDriver:
    """Runs operations over wires, one for each endpoint: :class:`maas_client._drive.Driver`, awaited."""

    __slots__ = ("_addresses", "_lifetime", "_wires")

    def __init__(self, wires: list[AsyncWire], addresses: tuple[Endpoint, ...], lifetime: Lifetime) -> None:
        self._wires = wires
        self._addresses = addresses
        self._lifetime = lifetime

    async def run(self, operation: Operation[_T]) -> _T:
        """Does what an operation asks for, to its end.

        Raises:
            MaasClientError: the operation's own.
        """
        try:
            step = next(operation)
            while True:
                try:
                    outcome = await self._do(step)
                except MaasClientError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(outcome)
        except StopIteration as stop:
            value: _T = stop.value
            return value

    async def _do(self, step: Step) -> Any:
        # Imported here: those who only use the synchronous client need not pay for asyncio.
        import asyncio

        if isinstance(step, Exchange):
            self._lifetime.check()
            return await self._exchange(step)
        if isinstance(step, Race):
            self._lifetime.check()
            return await self._race(step)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.duration_s)
        outcomes = await asyncio.gather(*map(self.run, step.operations), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes

    async def _exchange(self, step: Exchange) -> Answer:
        wire = self._wires[step.endpoint]
        if is_traced() and isinstance(step.call, InferCall):
            with attempt_span(step.call, self._addresses[step.endpoint]) as call:
                return await wire.exchange(call, step.deadline)
        return await wire.exchange(step.call, step.deadline)

    async def _race(self, race: Race) -> Raced:
        """The loser is cancelled."""
        # Imported here, as in _do.
        import asyncio

        first = asyncio.create_task(self._exchange(race.first))
        tasks = {first: race.first}
        try:
            done, _ = await asyncio.wait(tasks, timeout=race.after_s)
            if not done:
                tasks[asyncio.create_task(self._exchange(race.second))] = race.second
                done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if pending and all(task.exception() for task in done):
                    await asyncio.wait(pending)
            failures: list[tuple[int, MaasClientError]] = []
            for task in [task for task in tasks if task.done()]:
                try:
                    answer = task.result()
                except MaasClientError as error:
                    failures.append((tasks[task].endpoint, error))
                else:
                    return Raced(answer, tasks[task].endpoint, len(tasks), tuple(failures))
            return Raced(None, failures[-1][0], len(tasks), tuple(failures))
        finally:
            for task in tasks:
                task.cancel()
