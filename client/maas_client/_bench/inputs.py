"""Inputs for a measurement: made up from what the model says that it takes, or from files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maas_client._cli.asking import sequence_steps
from maas_client._cli.items import TEXT_INPUTS, Item, Target
from maas_client._dtypes import NUMPY_OF
from maas_client._spec import ModelSpec, TensorSpec
from maas_client.errors import RefusedValueError

VARIANTS = 8
"""So many different requests take turns, so that nothing answers from a cache of one."""
_PICTURE_INPUTS = frozenset({"picture", "image", "photo"})
_PICTURE_SIDE = 96
_WORDS = ("the", "river", "runs", "under", "seven", "bridges", "and", "nobody", "counts", "them", "at", "night")


def generated(spec: ModelSpec, given: Mapping[str, Any], *, seed: int, batch_size: int, open_size: int) -> list[Any]:
    """Requests of the right names, datatypes and shapes, with their batch axis; optional inputs are left out.

    Args:
        spec: the model's.
        given: values of inputs that are not to be made up, without the batch axis.
        seed: the same one gives the same requests.
        batch_size: rows of each request.
        open_size: size of each other dimension that the model leaves open.

    Raises:
        RefusedValueError: the model takes no such batch.
    """
    if batch_size > max(1, spec.max_batch_size):
        raise RefusedValueError(
            f"{spec.name} takes batches of at most {max(1, spec.max_batch_size)}, got --batch-size {batch_size}"
        )
    rng = np.random.default_rng(seed)
    target = Target(spec, given)
    return [
        {
            **target.batched(given),
            **{tensor.name: _values(rng, spec, tensor, batch_size, open_size) for tensor in target.missing},
        }
        for _ in range(VARIANTS)
    ]


def from_items(target: Target, items: Sequence[Item], column: str | None) -> list[Any]:
    """A request for each item; for a model that keeps a state, one for each step of the first item.

    Raises:
        InputError: an item cannot be read, or does not fit the model.
    """
    if target.spec.sequence:
        return [values for _, values in sequence_steps(target, items[0], column)]
    return [target.request(item) for item in items]


def _values(rng: np.random.Generator, spec: ModelSpec, tensor: TensorSpec, batch_size: int, open_size: int) -> Any:
    inner = tensor.shape[1:] if spec.max_batch_size else tensor.shape
    shape = tuple(open_size if size < 0 else size for size in inner)
    if spec.max_batch_size:
        shape = (batch_size, *shape)
    if tensor.datatype == "BYTES":
        texts = np.empty(int(np.prod(shape)), np.object_)
        texts[:] = [_text(rng, tensor.name) for _ in texts]
        return texts.reshape(shape)
    dtype = NUMPY_OF[tensor.datatype]
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    # 0 and 1 are tokens of every vocabulary and values of every mask.
    return rng.integers(0, 2, shape).astype(dtype)


def _text(rng: np.random.Generator, name: str) -> bytes:
    if name in _PICTURE_INPUTS:
        return _png(_stroke(rng))
    if name in TEXT_INPUTS:
        return " ".join(rng.choice(_WORDS, 8)).encode()
    return f"{rng.random():.3f}".encode()


def _stroke(rng: np.random.Generator) -> Any:
    """A thick dark stroke on light ground, a little noisy, [side, side]: models that look for something find it."""
    rows, columns = np.mgrid[:_PICTURE_SIDE, :_PICTURE_SIDE] / _PICTURE_SIDE
    distance = np.abs(columns - 0.5 - rng.uniform(-0.3, 0.3) * (rows - 0.5))
    is_ink = (distance < rng.uniform(0.05, 0.09)) & (np.abs(rows - 0.5) < 0.35)
    return (np.where(is_ink, 40, 230) + rng.integers(-9, 10, is_ink.shape)).astype(np.uint8)


def _png(pixels: Any) -> bytes:
    """A grey picture as a PNG file (W3C, "Portable Network Graphics", 5 and 11)."""
    height, width = pixels.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = pixels
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
