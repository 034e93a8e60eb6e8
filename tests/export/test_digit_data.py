from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from maas_core.errors import WrongUse
from maas_core.golden import Array
from maas_export.data import digits

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
LABELS = np.arange(60, dtype=np.int64) % 10


def write_idx(path: Path, array: Array) -> None:
    header = struct.pack(f">I{array.ndim}I", 0x0800 | array.ndim, *array.shape)
    data = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_mnist(folder: Path, suffix: str = "") -> None:
    for prefix, count in (("train", 40), ("t10k", 20)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", IMAGES[:count])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", LABELS[:count])


def test_built_in_digits_are_split_by_seed_and_by_class() -> None:
    split, same, other = digits.built_in(0), digits.built_in(0), digits.built_in(1)
    assert (len(split.train["ink"]), len(split.test["ink"])) == (1437, 360)
    assert split.digest == same.digest != other.digest
    assert np.bincount(split.test["label"]).min() >= 33
    train = {image.tobytes() for image in split.train["ink"]}
    assert not train & {image.tobytes() for image in split.test["ink"]}


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_files_are_read_with_their_own_split(tmp_path: Path, suffix: str) -> None:
    write_mnist(tmp_path, suffix)
    split = digits.from_path(tmp_path, 0)
    assert (len(split.train["ink"]), len(split.test["ink"])) == (40, 20)
    np.testing.assert_allclose(split.train["ink"][3], IMAGES[3] / 255, atol=1e-6)
    assert split.train["label"][3] == 3


def test_npz_may_hold_bytes_or_floats(tmp_path: Path) -> None:
    np.savez(tmp_path / "bytes.npz", images=IMAGES, labels=LABELS)
    np.savez(tmp_path / "floats.npz", images=(IMAGES / 255).astype(np.float32), labels=LABELS)
    one, other = digits.from_path(tmp_path / "bytes.npz", 0), digits.from_path(tmp_path / "floats.npz", 0)
    np.testing.assert_allclose(one.train["ink"], other.train["ink"], atol=1e-6)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"pictures": IMAGES}, "holds pictures; it must hold images and labels"),
        ({"images": IMAGES[0], "labels": LABELS}, r"shape \[28, 28\]"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"shape \[0, 28, 28\]"),
        ({"images": IMAGES, "labels": LABELS[:9]}, r"60 images and labels of shape \[9\]"),
        ({"images": IMAGES, "labels": LABELS + 1}, "label 9 .* is 10; labels are 0 to 9"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels .* are float64"),
        ({"images": IMAGES.astype(np.int64), "labels": LABELS}, "images .* are int64"),
        ({"images": np.full((60, 2, 2), np.nan), "labels": LABELS}, "image 0 .* holds NaN or values outside 0 to 1"),
        ({"images": IMAGES, "labels": LABELS * 0}, "holds only the class 0"),
        ({"images": IMAGES[:13], "labels": LABELS[:13]}, "holds class 3 only 1 times"),
    ],
)
def test_wrong_npz_is_refused_with_its_reason(tmp_path: Path, arrays: dict[str, Array], reason: str) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(WrongUse, match=reason) as caught:
        digits.from_path(tmp_path / "mine.npz", 0)
    assert "mine.npz" in str(caught.value)


def test_files_that_are_no_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(WrongUse, match=r"text\.npz cannot be read"):
        digits.from_path(tmp_path / "text.npz", 0)
    with pytest.raises(WrongUse, match=r"there is no file .*absent\.npz"):
        digits.from_path(tmp_path / "absent.npz", 0)
    with pytest.raises(WrongUse, match=r"neither a folder .* nor an \.npz"):
        digits.from_path(tmp_path / "data.csv", 0)
    with pytest.raises(WrongUse, match="has no train-images-idx3-ubyte"):
        digits.from_path(tmp_path, 0)


def test_a_cut_or_foreign_idx_file_is_named(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WrongUse, match=r"train-images-idx3-ubyte holds 31359 bytes of data, its header says 31360"):
        digits.from_path(tmp_path, 0)
    write_idx(path, LABELS)
    with pytest.raises(WrongUse, match=r"train-images-idx3-ubyte is not an IDX file"):
        digits.from_path(tmp_path, 0)


def test_images_without_ink_are_refused_by_number(tmp_path: Path) -> None:
    pale = (IMAGES / 255).astype(np.float32)
    pale[7] *= 0.3
    np.savez(tmp_path / "pale.npz", images=pale, labels=LABELS)
    with pytest.raises(WrongUse, match=r"image 7 in .*pale\.npz shows no ink: its highest value is 0\.3 of 1"):
        digits.from_path(tmp_path / "pale.npz", 0)


def test_idx_files_of_one_class_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS[:40] * 0 + 4)
    with pytest.raises(WrongUse, match=r"\(train\) holds only the class 4"):
        digits.from_path(tmp_path, 0)


def spoil(path: Path) -> None:
    """Bytes in the middle of the compressed data."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    path.write_bytes(data)


def test_damaged_compressed_files_are_refused(tmp_path: Path) -> None:
    images = np.tile(np.arange(28, dtype=np.uint8) * 9, (600, 28, 1))
    np.savez_compressed(tmp_path / "damaged.npz", images=images, labels=np.arange(600) % 10)
    spoil(tmp_path / "damaged.npz")
    with pytest.raises(WrongUse, match=r"damaged\.npz cannot be read"):
        digits.from_path(tmp_path / "damaged.npz", 0)
    write_mnist(tmp_path, ".gz")
    spoil(tmp_path / "train-images-idx3-ubyte.gz")
    with pytest.raises(WrongUse, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        digits.from_path(tmp_path, 0)
