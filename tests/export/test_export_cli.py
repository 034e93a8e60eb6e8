from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from maas_core.serving import Served, serve
from maas_export.bundle import write_sources
from maas_export.catalogue import PythonModel
from maas_export.export_cli import export
from tests.conftest import JOURNEY, ROOT, Journey, Maas, json_lines
from tests.export import mutants


def test_every_bundle_is_complete_and_proven(journey: Journey) -> None:
    for model in JOURNEY:
        bundle = journey.bundle(model)
        manifest = json.loads((bundle / "manifest.json").read_bytes())
        files = {path.name for path in bundle.iterdir()} - {"manifest.json"}
        assert set(manifest["files"]) == files >= {"config.pbtxt", "golden.npz"}
        assert manifest["verification"]["passed"]
        assert manifest["verification"]["digest"] == manifest["digest"]
    network = json.loads((journey.bundle("digits_cnn") / "manifest.json").read_bytes())
    assert network["opset"] == 20
    assert network["training"]["accuracy"] >= 0.98
    assert (journey.build / "weights" / "digits_cnn" / network["weights"]["sha256"][:16]).is_dir()


def test_the_graph_keeps_its_names_and_its_dynamic_axis(journey: Journey) -> None:
    model = onnx.load(journey.bundle("digits_cnn") / "model.onnx")
    assert model.ir_version == 10
    (image,), (logits,) = model.graph.input, model.graph.output
    assert (image.name, image.type.tensor_type.shape.dim[0].dim_param) == ("image", "batch")
    assert (logits.name, logits.type.tensor_type.shape.dim[0].dim_param) == ("logits", "batch")


def test_no_path_of_the_building_machine_is_in_a_bundle(journey: Journey) -> None:
    machine = [str(ROOT).encode(), b"site-packages"]
    for model in JOURNEY:
        for path in journey.bundle(model).iterdir():
            assert not any(trace in path.read_bytes() for trace in machine), path


def test_a_second_export_changes_nothing_and_a_new_one_gives_the_same_bytes(
    journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    journey.copy_weights(build, "digits_cnn")
    journey.copy_bundles(build, "digits_cnn")
    bundle = build / "bundles" / "digits_cnn" / "onnx"
    before = json.loads((bundle / "manifest.json").read_bytes())
    (again,) = json_lines(maas("export", "digits_cnn", "--json").stdout)
    assert again["new"] is False
    shutil.rmtree(bundle)
    assert maas("export", "digits_cnn").returncode == 0
    assert json.loads((bundle / "manifest.json").read_bytes())["digest"] == before["digest"]


def test_a_second_export_imports_nothing_that_takes_long(journey: Journey) -> None:
    code = (
        "import sys; from maas_export.bundle import export_bundle; "
        "assert not export_bundle('digits_cnn', seed=0)[1]; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'sklearn', 'scipy', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "MAAS_BUILD": str(journey.build)},
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_one_server_verifies_several_and_one_that_diverges_leaves_the_others_stamped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    started = []

    @contextmanager
    def counted(repository: Path, *, view: str) -> Iterator[Served]:
        started.append(sorted(path.name for path in repository.iterdir()))
        with serve(repository, view=view) as server:
            yield server

    def with_a_mistake(model: PythonModel, folder: Path) -> None:
        write_sources(model, folder)
        if model.name == "digits_preprocess":
            mutants.shade_off_by_one(folder / "ink.py")

    monkeypatch.setattr("maas_export.verify.serve", counted)
    monkeypatch.setattr("maas_export.bundle.write_sources", with_a_mistake)
    models = ["digits_preprocess", "digits_postprocess"]
    done = CliRunner().invoke(export, [*models, "--json"])
    assert started == [sorted(models)]
    assert done.exit_code == 1
    assert "digits_preprocess/python diverges first at rung 'http'" in done.output
    verdicts = {Path(line["bundle"]).parent.name: line["passed"] for line in json_lines(done.stdout)}
    assert verdicts == {"digits_preprocess": False, "digits_postprocess": True}


def test_what_is_missing_is_named_with_the_command_that_makes_it(maas: Maas) -> None:
    done = maas("export", "digits_cnn")
    assert (done.returncode, done.stderr) == (
        2,
        "maas export: digits_cnn has no weights yet; run `maas train digits_cnn` first\n",
    )
    done = maas("export", "digits")
    assert done.returncode == 1
    assert "digits_preprocess/python is not a bundle: manifest.json is missing" in done.stderr


def test_what_comes_before_a_model_without_weights_is_verified(maas: Maas) -> None:
    done = maas("export", "digits_postprocess", "digits_cnn", "--json")
    assert done.returncode == 2
    assert "maas train digits_cnn" in done.stderr
    assert [line["passed"] for line in json_lines(done.stdout)] == [True]


def test_a_place_that_cannot_be_written_is_said_and_nothing_half_written_stays(
    journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "bundles").write_text("a file where a folder should be")
    done = maas("export", "digits_preprocess")
    assert done.returncode == 1
    assert "the bundle of digits_preprocess could not be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_committed_configs_are_those_of_the_specs(maas: Maas, tmp_path: Path) -> None:
    done = maas("config", "--check")
    assert done.returncode == 0, done.stderr
    shutil.copytree(ROOT / "model_repository", tmp_path / "repository", ignore=shutil.ignore_patterns("[0-9]*"))
    drifted = tmp_path / "repository" / "digits_cnn" / "config.pbtxt"
    drifted.write_text(drifted.read_text().replace("max_batch_size: 32", "max_batch_size: 64"))
    done = maas("config", "--check", "--repository", tmp_path / "repository")
    assert done.returncode == 1
    assert str(drifted) in done.stderr
