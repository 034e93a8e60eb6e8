from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.server.serving import Serving, start_serving


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """``serve(repository, *options)`` starts `maas serve` for one test."""
    started: list[Serving] = []

    def start(repository: Path, *options: str, **more: Any) -> Serving:
        started.append(start_serving(repository, tmp_path / "build", *options, **more))
        return started[-1]

    yield start
    for serving in started:
        if serving.process.poll() is None:
            serving.process.kill()
            serving.process.wait()
