"""BYTES between us and ONNX Runtime, whose strings are text."""

from __future__ import annotations

import numpy as np

from maas_core.golden import Array


def as_text(value: Array) -> Array:
    """An array as ONNX Runtime takes it: bytes become text, all else stays.

    Raises:
        UnicodeDecodeError: where bytes are no UTF-8.
    """
    if value.dtype != np.object_:
        return value
    return np.array([bytes(item).decode() for item in value.reshape(-1)], dtype=np.object_).reshape(value.shape)


def as_bytes(value: Array) -> Array:
    """An array as ONNX Runtime gives it: text becomes bytes, all else stays."""
    if value.dtype.kind not in "OU":
        return value
    return np.array([str(item).encode() for item in value.reshape(-1)], dtype=np.object_).reshape(value.shape)
