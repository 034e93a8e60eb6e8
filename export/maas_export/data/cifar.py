"""CIFAR-10 as its authors publish it, the Python and the binary version, as an archive or unpacked.

Source of the formats: A. Krizhevsky, "The CIFAR-10 and CIFAR-100 datasets", cs.toronto.edu/~kriz/cifar.html. A file
of the binary version holds records of one byte (the class) and 3·32·32 bytes (the red, the green, then the blue plane);
one of the Python version is a pickle of a dictionary with ``data`` [samples, 3072] and ``labels``.

Pickles can run code, so these are read by an unpickler that knows arrays and nothing else.
"""

from __future__ import annotations

import codecs
import lzma
import pickle
import tarfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_export.data.split import Split

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_BYTES = 3 * 32 * 32
_RECORD = 1 + _BYTES
_LARGEST_FILE = 64 * 2**20
"""Twice what the largest file of CIFAR-10 has."""
_AGAIN = "fetch CIFAR-10 again"

Files = Mapping[str, Callable[[], bytes]]


def from_path(path: Path) -> Split:
    """CIFAR-10 with its own split: five batches to train on, one held out.

    Columns: ``image`` uint8 [samples, 3, 32, 32], ``label``, and ``name`` of the label.

    Raises:
        WrongUse: naming the file and the record that is wrong.
    """
    files = _unpacked(path) if path.is_dir() else _archived(path)
    is_binary = f"{_TEST}.bin" in files
    if not is_binary and _TEST not in files:
        raise WrongUse(
            f"{path} holds neither {_TEST} nor {_TEST}.bin",
            "give cifar-10-python.tar.gz, cifar-10-binary.tar.gz or its folder",
        )
    names = _names(files, path, is_binary=is_binary)
    parts = [_part(files, batch, names, path, is_binary=is_binary) for batch in (*_TRAIN, _TEST)]
    train = {name: np.concatenate([part[name] for part in parts[:-1]]) for name in parts[0]}
    if len(np.unique(train["label"])) < 2:
        raise WrongUse(f"{path} holds only the class {train['name'][0]}", "give data of two classes or more")
    return Split(train, parts[-1], f"CIFAR-10 ({path.name})", tuple(names))


def _unpacked(folder: Path) -> Files:
    found: dict[str, Callable[[], bytes]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.setdefault(path.name, path.read_bytes)
    return found


def _archived(path: Path) -> Files:
    """The files of an archive in memory: nothing is unpacked, so no name in it leads anywhere."""
    found: dict[str, Callable[[], bytes]] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if member.size > _LARGEST_FILE:
                    raise WrongUse(f"{path}: {member.name} has {member.size:,} bytes, which CIFAR-10 has not", _AGAIN)
                stream = archive.extractfile(member)
                found[PurePosixPath(member.name).name] = BytesIO(b"" if stream is None else stream.read()).getvalue
    except FileNotFoundError as error:
        raise WrongUse(f"there is no file {path}", "give CIFAR-10's archive or its folder as --data") from error
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise WrongUse(f"{path} is no archive, or damaged ({error})", _AGAIN) from error
    return found


def _part(files: Files, batch: str, names: list[str], source: Path, *, is_binary: bool) -> Tensors:
    file = f"{batch}.bin" if is_binary else batch
    where = f"{source}: {file}"
    if file not in files:
        raise WrongUse(f"{source} has no {file}", _AGAIN)
    pixels, labels = (_from_records if is_binary else _from_pickle)(files[file](), where)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(names)))
    if wrong.size:
        raise WrongUse(
            f"{where}, record {wrong[0]}: the class is {labels[wrong[0]]}", f"classes are 0 to {len(names) - 1}"
        )
    return {
        "image": pixels.reshape(-1, 3, 32, 32),
        "label": labels.astype(np.int64),
        "name": np.array(names, dtype=np.str_)[labels],
    }


def _from_records(data: bytes, where: str) -> tuple[Array, Array]:
    if not data or len(data) % _RECORD:
        raise WrongUse(f"{where} has {len(data):,} bytes, which is not records of {_RECORD}", _AGAIN)
    records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _from_pickle(data: bytes, where: str) -> tuple[Array, Array]:
    content = _unpickled(data, where)
    pixels, labels = content.get("data"), content.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _BYTES:
        raise WrongUse(f"{where} holds no data [samples, {_BYTES}] of uint8", _AGAIN)
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise WrongUse(f"{where} holds no list of labels", _AGAIN)
    if len(labels) != len(pixels) or not labels:
        raise WrongUse(f"{where} holds {len(pixels)} pictures and {len(labels)} labels", _AGAIN)
    return pixels, np.array(labels, dtype=np.int64)


def _names(files: Files, source: Path, *, is_binary: bool) -> list[str]:
    file = "batches.meta.txt" if is_binary else "batches.meta"
    if file not in files:
        raise WrongUse(f"{source} has no {file}, which names the classes", _AGAIN)
    where = f"{source}: {file}"
    if is_binary:
        names: Any = files[file]().decode("ascii", errors="replace").split()
    else:
        names = _unpickled(files[file](), where).get("label_names")
    if not isinstance(names, list) or len(names) != 10 or not all(isinstance(name, str) and name for name in names):
        raise WrongUse(f"{where} does not name ten classes", _AGAIN)
    return names


def _unpickled(data: bytes, where: str) -> dict[str, Any]:
    try:
        content = _ArraysOnly(BytesIO(data), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise WrongUse(f"{where} cannot be read: {error}", _AGAIN) from error
    except (EOFError, ValueError, TypeError, LookupError, AttributeError, ImportError, MemoryError) as error:
        raise WrongUse(f"{where} is damaged ({type(error).__name__})", _AGAIN) from error
    if not isinstance(content, dict):
        raise WrongUse(f"{where} holds no dictionary", _AGAIN)
    return content


class _ArraysOnly(pickle.Unpickler):
    """Knows what a pickle of an array is made of; a pickle that names anything else is refused unread."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")}:
            return _new_array
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if (module, name) == ("_codecs", "encode"):
            return _as_latin1
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}, which no data needs")


def _new_array(kind: type, shape: object, code: object) -> Array:
    return np.ndarray((0,), np.int8)


def _as_latin1(text: str, encoding: str) -> bytes:
    """How pickles of protocol 2 write bytes."""
    return codecs.latin_1_encode(text)[0]
