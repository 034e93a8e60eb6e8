from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Journey, Maas, json_lines
from tests.export import mutants


@pytest.fixture
def bundle(journey: Journey, tmp_path: Path) -> Path:
    """A verified bundle of digits_cnn that the test may spoil; its torch weights are at hand."""
    journey.copy_weights(tmp_path / "build", "digits_cnn")
    journey.copy_bundles(tmp_path / "build", "digits_cnn")
    return tmp_path / "build" / "bundles" / "digits_cnn" / "onnx"


def rungs(output: str) -> dict[str, bool]:
    (verdict,) = json_lines(output)
    return {rung["rung"]: rung["passed"] for rung in verdict["rungs"]}


def test_a_finished_bundle_climbs_every_rung_and_is_stamped(bundle: Path, maas: Maas) -> None:
    done = maas("verify", bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert rungs(done.stdout) == dict.fromkeys(("files", "torch", "onnx", "http", "grpc"), True)
    (verdict,) = json_lines(done.stdout)
    stamp = json.loads((bundle / "manifest.json").read_bytes())["verification"]
    assert stamp["passed"]
    assert stamp["digest"] == verdict["digest"]
    assert all(rung["agreement"] == 1.0 for rung in verdict["rungs"] if rung["rung"] != "files")
    assert not list((bundle.parents[2] / "scratch").iterdir()), "the scratch repository was left behind"


def test_a_changed_file_fails_at_the_first_rung_and_loses_the_stamp(bundle: Path, maas: Maas) -> None:
    mutants.mutate(bundle / "model.onnx", mutants.change_one_weight)
    done = maas("verify", bundle, "--json")
    assert done.returncode == 1
    assert "rung 'files': model.onnx was changed after export" in done.stderr
    assert not json.loads((bundle / "manifest.json").read_bytes())["verification"]["passed"]


def test_a_file_that_is_no_model_fails_at_onnx_and_at_the_server(bundle: Path, maas: Maas) -> None:
    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:5000])
    done = maas("verify", bundle, "--numbers-only", "--json")
    assert done.returncode == 1
    assert rungs(done.stdout) == {"torch": True, "onnx": False, "http": False, "grpc": False}


def test_a_folder_that_is_no_bundle_is_said(maas: Maas, tmp_path: Path) -> None:
    done = maas("verify", tmp_path)
    assert done.returncode == 1
    assert "is not a bundle: manifest.json is missing; run `maas export MODEL`" in done.stderr


def test_a_running_server_is_held_against_the_bundle(journey: Journey, maas: Maas, triton_server: object) -> None:
    assert callable(triton_server)
    server = triton_server(journey.repository, models=["digits_cnn"])
    done = maas("verify", journey.bundle("digits_cnn"), "--url", f"grpc://{server.grpc_url}", build=journey.build)
    assert done.returncode == 0, done.stderr
    assert "grpc" in done.stdout
    done = maas("verify", journey.bundle("digits_cnn"), "--url", "grpc://127.0.0.1:9", build=journey.build)
    assert done.returncode == 1
    assert "rung 'grpc'" in done.stderr
