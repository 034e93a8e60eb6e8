"""A stranger's ONNX file on its whole way: imported, linted, verified again, published, served, asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maas_client import Client
from maas_core.serving import serve
from tests.conftest import Maas, json_lines, run_maas
from tests.export import imported_models as models


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("import") / "build"


@pytest.fixture(scope="module")
def bundle(build: Path) -> Path:
    folder = build.parent
    (folder / "labels.txt").write_text("cat\ndog\nbird\n")
    path = models.save(folder, models.classifier())
    done = run_maas("import", path, "--name", "pets", "--labels", folder / "labels.txt", "--json", build=build)
    assert done.returncode == 0, done.stderr
    told, verified = json_lines(done.stdout)
    assert told["new"]
    assert {"batch axis", "labels"} <= {guess["subject"] for guess in told["guesses"]}
    assert verified["passed"]
    assert [rung["rung"] for rung in verified["rungs"]] == ["files", "plain", "reference", "onnx", "http", "grpc"]
    return Path(told["bundle"])


def test_every_later_stage_takes_the_bundle(bundle: Path, build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = build.parent / "models"
    assert run_maas("lint", bundle, "--cores", "8", "--strict", build=build).returncode == 0
    done = run_maas("publish", bundle, "--repository", repository, build=build)
    assert done.returncode == 0, done.stderr
    assert run_maas("lint", repository, "--cores", "8", "--strict", "--require-versions", build=build).returncode == 0
    np.savez(build.parent / "picture.npz", picture=np.ones((1, 3, 16, 16), np.float32))
    monkeypatch.setenv("MAAS_BUILD", str(build))
    with serve(repository, view="imported", models=["pets"]) as server:
        verified = run_maas("verify", bundle, "--url", server.grpc, build=build)
        assert verified.returncode == 0, verified.stderr
        asked = run_maas("predict", "pets", build.parent / "picture.npz", "--url", server.grpc, "--json", build=build)
        assert asked.returncode == 0, asked.stderr
        with Client(server.http) as client:
            logits = client.infer("pets", picture=np.ones((1, 3, 16, 16), np.float32))["logits"]
    assert logits.shape == (1, 3)


def test_a_second_import_is_no_work(bundle: Path, build: Path) -> None:
    labels = build.parent / "labels.txt"
    done = run_maas("import", build.parent / "given.onnx", "--name", "pets", "--labels", labels, "--json", build=build)
    assert done.returncode == 0, done.stderr
    (told,) = json_lines(done.stdout)
    assert not told["new"]


def test_guesses_and_refusals_are_printed_for_people(maas: Maas, tmp_path: Path) -> None:
    path = models.save(tmp_path, models.circle())
    done = maas("import", path, "--name", "circle")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "topologically sorted" in done.stderr
    for size in ("length", "length=", "length=0", "=3"):
        done = maas("import", path, "--name", "circle", "--size", size)
        assert done.returncode == 2
        assert "--size" in done.stderr
    assert not list((tmp_path / "build").glob("**/*"))


def test_a_graph_that_onnx_reference_judges_otherwise_gets_no_stamp(bundle: Path, build: Path) -> None:
    """The golden answers are ONNX Runtime's; were they wrong, the second judge would say so."""
    spoiled = build / "bundles" / "pets" / "spoiled"
    spoiled.mkdir()
    for path in bundle.iterdir():
        (spoiled / path.name).write_bytes(path.read_bytes())
    with np.load(spoiled / "golden.npz") as archive:
        arrays = {name: archive[name] + (0.1 if "/out/" in name else 0) for name in archive.files}
    np.savez(spoiled / "golden.npz", **arrays)
    done = run_maas("verify", spoiled, "--numbers-only", "--json", build=build)
    assert done.returncode == 1
    failed = [rung["rung"] for rung in json.loads(done.stdout)["rungs"] if not rung["passed"]]
    assert failed[:2] == ["plain", "reference"]
