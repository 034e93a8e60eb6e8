"""Handwritten digits: scikit-learn's (built in), MNIST's IDX files, or an ``.npz``.

Columns: ``ink``, float32 from 0 (ground) to 1 (ink), [samples, height, width]; ``label``, 0 to 9.
"""

from __future__ import annotations

import gzip
import importlib.util
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_export.data.split import Split, stratified

_IDX_IMAGES = 0x0803
_IDX_LABELS = 0x0801
_PARTS = {"train": "train", "test": "t10k"}
_LEAST_INK = 0.5
"""A digit without a pixel above this vanishes where it is drawn with sharp edges."""


def built_in(seed: int) -> Split:
    """scikit-learn's 1,797 digits of 43 writers, 8×8 pixels, ink 0 to 16."""
    return stratified(built_in_digits(), seed, "scikit-learn load_digits")


def built_in_digits() -> Tensors:
    """All of them, training and held-out part alike: for samples of what a digit looks like.

    Read from scikit-learn's own file, because to import scikit-learn takes two seconds.
    """
    package = importlib.util.find_spec("sklearn")
    assert package is not None  # noqa: S101  # a dependency
    assert package.origin is not None  # noqa: S101  # it lies in a folder
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        rows = np.loadtxt(file, delimiter=",")
    return {"ink": (rows[:, :-1].reshape(-1, 8, 8) / 16).astype(np.float32), "label": rows[:, -1].astype(np.int64)}


def from_path(path: Path, seed: int) -> Split:
    """Digits of the user: a folder with MNIST's four IDX files (plain or .gz), or an ``.npz``.

    An ``.npz`` holds ``images`` [samples, height, width] (uint8 of 0 to 255, or floats of 0 to 1; ink is high) and
    ``labels`` [samples].

    Raises:
        WrongUse: naming the file and what is wrong with it.
    """
    if path.is_dir():
        return _from_idx(path)
    if path.suffix == ".npz":
        return _from_npz(path, seed)
    raise WrongUse(f"{path} is neither a folder with MNIST's IDX files nor an .npz", "give one of these as --data")


def _from_npz(path: Path, seed: int) -> Split:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise WrongUse(f"there is no file {path}", "give an .npz or a folder as --data") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise WrongUse(f"{path} cannot be read ({error})", "write it with numpy.savez") from error
    if not {"images", "labels"} <= arrays.keys():
        raise WrongUse(f"{path} holds {', '.join(arrays) or 'nothing'}", "it must hold images and labels")
    return stratified(_checked(arrays["images"], arrays["labels"], str(path)), seed, path.name)


def _from_idx(folder: Path) -> Split:
    parts: dict[str, Tensors] = {}
    for part, prefix in _PARTS.items():
        images = _read_idx(_find_idx(folder, f"{prefix}-images-idx3-ubyte"), _IDX_IMAGES)
        labels = _read_idx(_find_idx(folder, f"{prefix}-labels-idx1-ubyte"), _IDX_LABELS)
        parts[part] = _checked(images, labels, f"{folder} ({prefix})")
        classes = np.unique(parts[part]["label"])
        if len(classes) < 2:
            raise WrongUse(f"{folder} ({prefix}) holds only the class {classes[0]}", "give data of two classes or more")
    return Split(parts["train"], parts["test"], source=f"IDX files of {folder.name}")


def _find_idx(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise WrongUse(f"{folder} has no {name} (or {name}.gz)", "put MNIST's four IDX files there")


def _read_idx(path: Path, magic: int) -> Array:
    """One IDX file: a big-endian magic number, one size per axis, then bytes (the format of MNIST's own page)."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise WrongUse(f"{path} cannot be read ({error})", "fetch it again") from error
    axes = magic & 0xFF
    header = 4 * (1 + axes)
    if len(data) < header or struct.unpack(">I", data[:4])[0] != magic:
        raise WrongUse(f"{path} is not an IDX file of kind {magic:#06x}", "fetch it again")
    shape = struct.unpack(f">{axes}I", data[4:header])
    wanted = int(np.prod(shape, dtype=np.int64))
    if len(data) - header != wanted:
        raise WrongUse(f"{path} holds {len(data) - header} bytes of data, its header says {wanted}", "fetch it again")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def _checked(images: Array, labels: Array, source: str) -> Tensors:
    if images.ndim != 3 or 0 in images.shape:
        raise WrongUse(f"images in {source} have shape {list(images.shape)}", "it must be [samples, height, width]")
    if labels.shape != images.shape[:1]:
        raise WrongUse(f"{source} holds {len(images)} images and labels of shape {list(labels.shape)}", "give one each")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise WrongUse(f"images in {source} are {images.dtype}", "give uint8 of 0 to 255 or floats of 0 to 1")
    inputs = images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)
    bad = np.flatnonzero(
        ~np.isfinite(inputs).all(axis=(1, 2)) | (inputs.min(axis=(1, 2)) < 0) | (inputs.max(axis=(1, 2)) > 1)
    )
    if bad.size:
        raise WrongUse(f"image {bad[0]} in {source} holds NaN or values outside 0 to 1", "mend or drop it")
    strongest = inputs.max(axis=(1, 2))
    blank = np.flatnonzero(strongest <= _LEAST_INK)
    if blank.size:
        raise WrongUse(
            f"image {blank[0]} in {source} shows no ink: its highest value is {strongest[blank[0]]:.2g} of 1",
            "drop it, or give images whose ink goes up to 1 (255 as bytes)",
        )
    if labels.dtype.kind not in "iu":
        raise WrongUse(f"labels in {source} are {labels.dtype}", "give whole numbers of 0 to 9")
    wrong = np.flatnonzero((labels < 0) | (labels > 9))
    if wrong.size:
        raise WrongUse(f"label {wrong[0]} in {source} is {labels[wrong[0]]}", "labels are 0 to 9")
    return {"ink": inputs, "label": labels.astype(np.int64)}
