from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import JOURNEY, ROOT, Journey, Maas, json_lines

from maas_core.files import sha256_of
from maas_core.manifest import changed_files, payload_digest, read_manifest, write_manifest
from maas_core.repository import versions_of


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As in a fresh clone: configurations and labels, no version."""
    folder = tmp_path / "model_repository"
    shutil.copytree(ROOT / "model_repository", folder, ignore=shutil.ignore_patterns("[0-9]*"))
    return folder


@pytest.fixture
def bundle(journey: Journey, tmp_path: Path) -> Path:
    """A verified bundle of digits_cnn that the test may spoil."""
    journey.copy_bundles(tmp_path / "build", *JOURNEY)
    return tmp_path / "build" / "bundles" / "digits_cnn" / "onnx"


def snapshot(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


def as_another_version(bundle: Path) -> None:
    """The same model in other bytes, stamped: what a later training would give."""
    labels = bundle / "labels.txt"
    labels.write_text(labels.read_text() + "\n")
    manifest = read_manifest(bundle)
    files = {**manifest.files}
    files["labels.txt"] = files["labels.txt"].model_copy(
        update={"sha256": sha256_of(labels), "size_bytes": labels.stat().st_size}
    )
    digest = payload_digest(files)
    assert manifest.verification is not None
    stamp = manifest.verification.model_copy(update={"digest": digest})
    write_manifest(bundle, manifest.model_copy(update={"files": files, "digest": digest, "verification": stamp}))


def test_a_bundle_becomes_the_next_version_and_the_same_bytes_become_none(
    bundle: Path, repository: Path, maas: Maas
) -> None:
    first = json_lines(maas("publish", bundle, "--repository", repository, "--json").stdout)[0]
    again = json_lines(maas("publish", bundle, "--repository", repository, "--json").stdout)[0]
    assert (first["version"], first["new"], again["version"], again["new"]) == (1, True, 1, False)
    as_another_version(bundle)
    later = json_lines(maas("publish", bundle, "--repository", repository, "--json").stdout)[0]
    assert (later["version"], later["new"]) == (2, True)
    for version in versions_of(repository / "digits_cnn"):
        assert not changed_files(version.path, read_manifest(version.path))


def test_a_number_that_was_given_is_never_given_again(bundle: Path, repository: Path, maas: Maas) -> None:
    maas("publish", bundle, "--repository", repository)
    shutil.rmtree(repository / "digits_cnn" / "1")
    as_another_version(bundle)
    (facts,) = json_lines(maas("publish", bundle, "--repository", repository, "--json").stdout)
    assert facts["version"] == 2


def test_publishing_leaves_the_committed_files_alone(bundle: Path, repository: Path, maas: Maas) -> None:
    before = snapshot(repository)
    assert maas("publish", bundle, "--repository", repository).returncode == 0
    assert {path: digest for path, digest in snapshot(repository).items() if path in before} == before


@pytest.mark.parametrize("file", ["model.onnx", "config.pbtxt", "labels.txt", "golden.npz"])
def test_one_flipped_byte_is_refused(bundle: Path, repository: Path, maas: Maas, file: str) -> None:
    data = bytearray((bundle / file).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / file).write_bytes(data)
    before = snapshot(repository)
    done = maas("publish", bundle, "--repository", repository)
    assert done.returncode == 1
    assert f"is damaged: {file} was changed after export" in done.stderr
    assert snapshot(repository) == before


def test_a_half_written_bundle_is_refused(bundle: Path, repository: Path, maas: Maas) -> None:
    (bundle / "golden.npz").unlink()
    done = maas("publish", bundle, "--repository", repository)
    assert done.returncode == 1
    assert "golden.npz is missing" in done.stderr
    (bundle / "manifest.json").write_text((bundle / "manifest.json").read_text()[:200])
    done = maas("publish", bundle, "--repository", repository)
    assert done.returncode == 1
    assert "is not a manifest" in done.stderr
    assert not versions_of(repository / "digits_cnn")


def test_what_verification_did_not_stamp_is_refused(bundle: Path, repository: Path, maas: Maas) -> None:
    manifest = read_manifest(bundle)
    write_manifest(bundle, manifest.model_copy(update={"verification": None}))
    assert "has not passed verification" in maas("publish", bundle, "--repository", repository).stderr
    assert manifest.verification is not None
    failed = manifest.verification.model_copy(update={"passed": False})
    write_manifest(bundle, manifest.model_copy(update={"verification": failed}))
    assert "has not passed verification" in maas("publish", bundle, "--repository", repository).stderr
    other = manifest.verification.model_copy(update={"digest": "0" * 64})
    write_manifest(bundle, manifest.model_copy(update={"verification": other}))
    assert "was verified with other files" in maas("publish", bundle, "--repository", repository).stderr


def test_an_ensemble_waits_for_the_steps_it_was_proven_with(bundle: Path, repository: Path, maas: Maas) -> None:
    bundles = bundle.parents[1]
    ensemble = bundles / "digits" / "ensemble"
    done = maas("publish", ensemble, "--repository", repository)
    assert done.returncode == 1
    assert "digits_preprocess, a step of digits, is not published; publish digits_preprocess first" in done.stderr
    as_another_version(bundle)
    steps = [bundles / model / JOURNEY[model] for model in JOURNEY if model != "digits"]
    assert maas("publish", *steps, "--repository", repository).returncode == 0
    done = maas("publish", ensemble, "--repository", repository)
    assert done.returncode == 1
    assert "digits was verified with another digits_cnn than version 1" in done.stderr


def test_a_config_that_the_repository_does_not_have_is_refused(bundle: Path, repository: Path, maas: Maas) -> None:
    config = repository / "digits_cnn" / "config.pbtxt"
    config.write_text(config.read_text().replace("max_batch_size: 32", "max_batch_size: 8"))
    done = maas("publish", bundle, "--repository", repository)
    assert done.returncode == 1
    assert "differs from" in done.stderr
    assert "maas config digits_cnn --write" in done.stderr


def test_a_model_that_the_repository_does_not_know_arrives_whole(bundle: Path, tmp_path: Path, maas: Maas) -> None:
    repository = tmp_path / "empty"
    assert maas("publish", bundle, "--repository", repository).returncode == 0
    assert {path.name for path in (repository / "digits_cnn").iterdir()} == {"config.pbtxt", "labels.txt", "1"}


@pytest.mark.timeout(200)
def test_a_publish_that_is_killed_leaves_the_old_or_the_whole_new_version(
    bundle: Path, repository: Path, maas: Maas
) -> None:
    assert maas("publish", bundle, "--repository", repository).returncode == 0
    as_another_version(bundle)
    command = [sys.executable, "-m", "maas_core", "publish", str(bundle), "--repository", str(repository)]
    staging = repository.parent / ".model_repository.maas" / "staging"
    moments, known = random.Random(7), [1]
    for _ in range(6):
        # What the last one left would be taken for this one's.
        shutil.rmtree(staging, ignore_errors=True)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
        _wait_for(staging, process)
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        process.wait()
        versions = versions_of(repository / "digits_cnn")
        numbers = [version.version for version in versions]
        assert numbers in (known, [*known, known[-1] + 1])
        for version in versions:
            assert not changed_files(version.path, read_manifest(version.path))
        if numbers != known:
            # The same bytes would not be staged again.
            known = numbers
            as_another_version(bundle)
    for is_new in (True, False):
        (staging / "digits_cnn").mkdir(parents=True, exist_ok=True)
        done = json.loads(maas("publish", bundle, "--repository", repository, "--json").stdout)
        assert (done["version"], done["new"]) == (known[-1] + 1, is_new)
        assert not staging.exists()


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None and not path.exists():
        time.sleep(0.0005)


def test_a_repository_that_cannot_be_written_is_said(bundle: Path, tmp_path: Path, maas: Maas) -> None:
    (tmp_path / "file").write_text("no folder")
    done = maas("publish", bundle, "--repository", tmp_path / "file")
    assert done.returncode == 1
    assert "digits_cnn was not published" in done.stderr
    assert len(done.stderr.splitlines()) == 1
