from __future__ import annotations

import re
from pathlib import Path

import pytest

from maas_core.errors import NotHeld, WrongUse
from maas_core.manifest import (
    Manifest,
    ObjectiveEntry,
    ToleranceEntry,
    changed_files,
    file_entries,
    payload_digest,
    read_manifest,
    write_manifest,
)
from maas_core.names import check_model_name


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    files = file_entries(tmp_path)
    manifest = Manifest(
        model="a",
        format="onnx",
        digest=payload_digest(files),
        files=files,
        key="k",
        seed=0,
        versions={"torch": "2.13.0"},
        tolerances={"FP32": ToleranceEntry(absolute=1e-5, relative=1e-5)},
        objective=ObjectiveEntry(p99_ms=20.0, error_rate=0.001),
        created_at="2026-01-01T00:00:00+00:00",
        tool_version="0",
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


def test_what_was_written_is_read_and_fits_its_files(bundle: Path) -> None:
    manifest = read_manifest(bundle)
    assert manifest.model == "a"
    assert not changed_files(bundle, manifest)
    (bundle / "stray").write_text("x")
    (bundle / "model.onnx").write_bytes(b"Weights")
    assert changed_files(bundle, manifest) == [
        "stray is not in the manifest",
        "model.onnx was changed after export",
    ]


def test_one_flipped_bit_anywhere_in_the_manifest_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    sound = path.read_bytes()
    for position in range(0, len(sound), 7):
        damaged = bytearray(sound)
        damaged[position] ^= 2
        path.write_bytes(damaged)
        if damaged.split() != sound.split():
            with pytest.raises(NotHeld):
                read_manifest(bundle)
    path.write_bytes(sound)
    assert read_manifest(bundle).model == "a"


def test_a_tolerance_that_was_widened_by_hand_is_refused(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(re.sub(r'"absolute": [^,]+,', '"absolute": 1000.0,', path.read_text()))
    with pytest.raises(NotHeld, match="changed by hand or damaged"):
        read_manifest(bundle)


@pytest.mark.parametrize("name", ["../x", "a;id", "", " ", "a b", "x" * 300, "mödel", "-a", ".hidden"])
def test_names_that_must_not_reach_a_shell_are_refused(name: str) -> None:
    with pytest.raises(WrongUse, match="cannot be a model's name"):
        check_model_name(name)
