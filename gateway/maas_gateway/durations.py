"""Durations as Envoy's JSON has them (``google.protobuf.Duration``)."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``1.5`` as ``"1.500s"``; Envoy counts in milliseconds where we use it."""
    return f"{seconds:.3f}s"
