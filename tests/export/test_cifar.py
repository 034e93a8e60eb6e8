"""CIFAR-10's two formats, as archive and folder; what is broken is told by file and record."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maas_core.errors import WrongUse
from maas_export.data import cifar

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
SAMPLES = 4


def pixels(batch: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(batch).integers(0, 256, (SAMPLES, 3072)).astype(np.uint8)


def labels(batch: int) -> list[int]:
    return [(batch + row) % 10 for row in range(SAMPLES)]


def python_files() -> dict[str, bytes]:
    files = {
        name: pickle.dumps({"data": pixels(batch), "labels": labels(batch)}, protocol=2)
        for batch, name in enumerate(BATCHES)
    }
    return {**files, "batches.meta": pickle.dumps({"label_names": NAMES}, protocol=2)}


def binary_files() -> dict[str, bytes]:
    files = {
        f"{name}.bin": np.column_stack([np.array(labels(batch), np.uint8), pixels(batch)]).tobytes()
        for batch, name in enumerate(BATCHES)
    }
    return {**files, "batches.meta.txt": "\n".join([*NAMES, ""]).encode()}


VERSIONS = {"python": python_files, "binary": binary_files}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as target:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar-10/{name}")
            member.size = len(data)
            target.addfile(member, io.BytesIO(data))
    return path


def folder(path: Path, files: dict[str, bytes]) -> Path:
    path.mkdir()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("packed", [archive, folder])
def test_both_versions_as_archive_and_folder_hold_the_same(
    version: str, packed: Callable[[Path, dict[str, bytes]], Path], tmp_path: Path
) -> None:
    split = cifar.from_path(packed(tmp_path / "cifar-10.tar.gz", VERSIONS[version]()))
    assert split.train["image"].shape == (5 * SAMPLES, 3, 32, 32)
    np.testing.assert_array_equal(split.test["image"].reshape(SAMPLES, -1), pixels(5))
    np.testing.assert_array_equal(split.train["label"][:SAMPLES], labels(0))
    assert split.test["name"].tolist() == [NAMES[label] for label in labels(5)]


def with_file(name: str, data: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {**files, name: data}


def without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {key: data for key, data in files.items() if key != name}


def batch(data: Any, numbers: Any) -> bytes:
    return pickle.dumps({"data": data, "labels": numbers}, protocol=2)


@pytest.mark.parametrize(
    ("version", "change", "reason"),
    [
        ("python", without("data_batch_3"), "has no data_batch_3"),
        ("python", without("batches.meta"), "has no batches.meta"),
        ("python", without("test_batch"), "neither test_batch nor test_batch.bin"),
        ("python", with_file("data_batch_2", b""), "data_batch_2 is damaged"),
        ("python", with_file("data_batch_2", python_files()["data_batch_2"][:500]), "data_batch_2"),
        ("python", with_file("data_batch_2", pickle.dumps([1])), "data_batch_2 holds no dictionary"),
        ("python", with_file("data_batch_2", batch(pixels(0)[:, :9], labels(0))), r"no data \[samples, 3072\]"),
        ("python", with_file("data_batch_2", batch(pixels(0), labels(0)[:-1])), "4 pictures and 3 labels"),
        ("python", with_file("data_batch_2", batch(pixels(0), [0, 1, 10, 2])), "record 2: the class is 10"),
        ("python", with_file("batches.meta", pickle.dumps({"label_names": NAMES[:9]})), "does not name ten classes"),
        ("binary", with_file("data_batch_4.bin", bytes(3073 + 5)), "data_batch_4.bin has 3,078 bytes"),
        ("binary", with_file("data_batch_4.bin", b""), "data_batch_4.bin has 0 bytes"),
        ("binary", with_file("data_batch_4.bin", bytes(3073) + b"\x0b" + bytes(3072)), "record 1: the class is 11"),
    ],
)
def test_what_is_broken_is_told_by_file_and_reason(
    version: str, change: Callable[[dict[str, bytes]], dict[str, bytes]], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongUse, match=reason):
        cifar.from_path(archive(tmp_path / "broken.tar.gz", change(VERSIONS[version]())))


def test_data_of_one_class_is_refused(tmp_path: Path) -> None:
    files = binary_files() | {f"{name}.bin": bytes(3073) for name in BATCHES}
    with pytest.raises(WrongUse, match="only the class airplane"):
        cifar.from_path(archive(tmp_path / "one.tar.gz", files))


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    files = with_file("data_batch_1", pickle.dumps({"data": Attack(tmp_path / "ran"), "labels": []}))(python_files())
    with pytest.raises(WrongUse, match=r"wants to call posix.mkdir"):
        cifar.from_path(archive(tmp_path / "bad.tar.gz", files))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x1f\x8b broken"])
def test_what_is_no_archive_is_told(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "cifar.tar.gz").write_bytes(data)
    with pytest.raises(WrongUse, match=r"is no archive, or damaged|holds neither"):
        cifar.from_path(tmp_path / "cifar.tar.gz")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="there is no file"):
        cifar.from_path(tmp_path / "nothing.tar.gz")


def test_a_class_without_a_picture_keeps_its_name(tmp_path: Path) -> None:
    files = binary_files()
    for batch, name in enumerate(BATCHES):
        numbers = np.array([number if number != 4 else 5 for number in labels(batch)], np.uint8)
        files[f"{name}.bin"] = np.column_stack([numbers, pixels(batch)]).tobytes()
    split = cifar.from_path(folder(tmp_path / "cifar", files))
    assert 4 not in split.train["label"]
    assert split.share(0.5, 0).classes == tuple(NAMES)
