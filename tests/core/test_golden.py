from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maas_core.errors import NotHeld
from maas_core.golden import Sample, load_golden, save_golden

TEXT = np.array([[b"a\0b"], [b""], ["ü".encode()]], dtype=np.object_)
SAMPLES = [
    Sample("one", {"x": np.ones((1, 2), np.float32)}, {"y": np.array([3], np.int64)}),
    Sample("two", {"text": TEXT}, {"y": np.array([True])}),
]


def test_samples_come_back_exactly(tmp_path: Path) -> None:
    save_golden(tmp_path / "golden.npz", SAMPLES)
    back = load_golden(tmp_path / "golden.npz")
    assert [sample.name for sample in back] == ["one", "two"]
    np.testing.assert_array_equal(back[0].inputs["x"], SAMPLES[0].inputs["x"])
    assert back[1].inputs["text"].tolist() == TEXT.tolist()
    assert back[1].outputs["y"].dtype == np.bool_


def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    save_golden(tmp_path / "a.npz", SAMPLES)
    save_golden(tmp_path / "b.npz", SAMPLES)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_cut_file_is_damaged_not_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    save_golden(path, SAMPLES)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(NotHeld, match="damaged"):
        load_golden(path)
    with pytest.raises(NotHeld, match="missing"):
        load_golden(tmp_path / "other.npz")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "golden.npz", **{"one/in/x": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(NotHeld, match="damaged"):
        load_golden(tmp_path / "golden.npz")
