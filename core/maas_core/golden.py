"""``golden.npz``: seeded inputs and the outputs that were seen in torch, to hold every later stage against."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from maas_core.errors import NotHeld

GOLDEN_FILE = "golden.npz"
Array = npt.NDArray[Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Sample:
    """One request and its right answer. Arrays carry the batch axis; BYTES tensors are object arrays of ``bytes``."""

    name: str
    inputs: Tensors
    outputs: Tensors


def save_golden(path: Path, samples: Sequence[Sample]) -> None:
    """Writes the samples; the same samples always give the same bytes."""
    arrays: dict[str, Array] = {}
    for sample in samples:
        for side, tensors in (("in", sample.inputs), ("out", sample.outputs)):
            for name, value in tensors.items():
                arrays.update(_encode(f"{sample.name}/{side}/{name}", value))
    np.savez_compressed(path, **arrays)


def load_golden(path: Path) -> list[Sample]:
    """Reads what :func:`save_golden` wrote.

    Raises:
        NotHeld: where the file is missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise NotHeld(f"{path} is missing", "run `maas export MODEL` again") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise NotHeld(f"{path} is damaged ({error})", "run `maas export MODEL` again") from error
    samples: dict[str, Sample] = {}
    for key in arrays:
        base, _, part = key.partition("#")
        if part == "lengths":
            continue
        name, side, tensor = base.split("/", 2)
        sample = samples.setdefault(name, Sample(name, {}, {}))
        target = sample.inputs if side == "in" else sample.outputs
        target[tensor] = _decode(base, arrays)  # type: ignore[index]  # the mapping is ours until it is returned
    return list(samples.values())


def _encode(key: str, value: Array) -> dict[str, Array]:
    """BYTES need two arrays, all bytes and the lengths: pickled objects are never written or read."""
    if value.dtype != np.object_:
        return {key: value}
    items = [bytes(item) for item in value.reshape(-1)]
    lengths = np.array([len(item) for item in items], dtype=np.int64).reshape(value.shape)
    return {f"{key}#bytes": np.frombuffer(b"".join(items), dtype=np.uint8), f"{key}#lengths": lengths}


def _decode(base: str, arrays: Mapping[str, Array]) -> Array:
    if base in arrays:
        return arrays[base]
    lengths, joined = arrays[f"{base}#lengths"], arrays[f"{base}#bytes"].tobytes()
    ends = np.cumsum(lengths.reshape(-1))
    items = np.empty(lengths.size, dtype=np.object_)
    for position, (end, length) in enumerate(zip(ends, lengths.reshape(-1), strict=True)):
        items[position] = joined[int(end - length) : int(end)]
    return items.reshape(lengths.shape)
