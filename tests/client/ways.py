"""The four ways to call a server, used alike."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any

from maas_client import AsyncClient, AsyncSequence, Client

WAYS = ("grpc", "http", "grpc-async", "http-async")


class Awaited:
    """An AsyncClient that is used like a Client: its coroutines run in an event loop of another thread."""

    def __init__(self, url: str | list[str], **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = AsyncClient(url, **options)

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __repr__(self) -> str:
        return repr(self._client)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._client, name)
        if name == "sequence":
            return lambda *args, **named: _AwaitedSequence(self._loop, value(*args, **named))
        if inspect.isasyncgenfunction(value):
            return lambda *args, **named: self._iterate(value(*args, **named))
        if not inspect.iscoroutinefunction(value):
            return value
        return lambda *args, **named: asyncio.run_coroutine_threadsafe(value(*args, **named), self._loop).result(60)

    def _iterate(self, answers: AsyncGenerator[Any, None]) -> Iterator[Any]:
        def run(coroutine: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

        try:
            while True:
                try:
                    yield run(anext(answers))
                except StopAsyncIteration:
                    return
        finally:
            run(answers.aclose())


class _AwaitedSequence:
    """An AsyncSequence that is used like a Sequence."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sequence: AsyncSequence) -> None:
        self._loop = loop
        self._sequence = sequence

    @property
    def id(self) -> int | str | None:
        return self._sequence.id

    def infer(self, *args: Any, **named: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(self._sequence.infer(*args, **named), self._loop).result(60)

    def __enter__(self) -> _AwaitedSequence:
        return self

    def __exit__(self, *what: Any) -> None:
        asyncio.run_coroutine_threadsafe(self._sequence.__aexit__(*what), self._loop).result(60)


def open_client(way: str, url: str | list[str], **options: Any) -> Any:
    return Awaited(url, **options) if way.endswith("async") else Client(url, **options)
