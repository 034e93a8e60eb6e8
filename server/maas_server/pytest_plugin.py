"""Fixtures that serve model repositories with a real embedded Triton.

Switch them on with ``pytest_plugins = ["maas_server.pytest_plugin"]`` in the top-level ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from maas_server.embedded import EmbeddedTriton, embedded_triton

TritonFactory = Callable[..., EmbeddedTriton]


def _factory(logs: Path) -> Iterator[TritonFactory]:
    with ExitStack() as stack:
        count = 0

        def start(repository: Path, models: Sequence[str] | None = None, **options: Any) -> EmbeddedTriton:
            nonlocal count
            count += 1
            options.setdefault("log_path", logs / f"triton-{count}.log")
            # Nothing is in flight when a test session ends: an orderly stop would only cost three seconds.
            options.setdefault("stop_timeout_s", 0.0)
            return stack.enter_context(embedded_triton(repository, models=models, **options))

        yield start


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonFactory]:
    """``triton_server(repository, models=None, **options)`` starts a server that runs until the test session ends.

    Options are those of :func:`maas_server.embedded.embedded_triton`.
    """
    yield from _factory(tmp_path_factory.mktemp("triton"))


@pytest.fixture(scope="module")
def module_triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonFactory]:
    """Like ``triton_server``, but the server stops with the test module."""
    yield from _factory(tmp_path_factory.mktemp("triton"))
