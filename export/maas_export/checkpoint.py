"""Where a training was when it last finished an epoch, so that a killed one goes on from there."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from maas_core.files import write_atomic


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint; a kill in the middle leaves the old one."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state that was written; ``None`` where there is none, or it is damaged and so worth nothing."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
        return None
    return state
