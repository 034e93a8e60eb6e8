"""How long ``maas serve`` takes from the shell to three ready models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bench.models import Model
from bench.repository import write_copies, write_repository
from maas_core.errors import NotHeld
from maas_core.serving import serve


def start_models(models: Sequence[Model]) -> float:
    """Seconds until all ``models`` are ready, the start of the ``maas`` program included."""
    return _start(write_repository(models, "startup"))


def start_copies(model: Model) -> float:
    """Likewise for three models that are each a copy of ``model``."""
    return _start(write_copies(model, 3, "startup_copies"))


def _start(repository: Path) -> float:
    started = time.monotonic()
    with serve(repository, view=f"bench-{repository.name}") as served:
        elapsed_s = time.monotonic() - started
        if served.failed:
            raise NotHeld(f"not every model loads: {served.failed}")
    return elapsed_s
