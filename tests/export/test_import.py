"""What `maas import` decides about a stranger's ONNX file, and what it refuses. No server: see test_import_cli.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from maas_core.config import read_config
from maas_core.errors import MaasError, WrongUse
from maas_core.golden import load_golden
from maas_core.manifest import read_manifest
from maas_export.bundle_model import BundleModel, model_of, read_record
from maas_export.imported.importer import import_onnx
from maas_export.imported.plan import Wishes
from maas_export.imported.rungs import imported_rungs
from maas_export.lint.inspection import Options
from maas_export.lint.linter import lint
from maas_export.lint.targets import release_named
from tests.export import imported_models as models

TARGET = release_named("24.10")


@pytest.fixture(autouse=True)
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))
    return tmp_path / "build"


def imported(tmp_path: Path, made: onnx.ModelProto, **wishes: Any) -> Path:
    return import_onnx(models.save(tmp_path, made), "given", Wishes(TARGET, **wishes), seed=0)[0]


def refusal(tmp_path: Path, made: onnx.ModelProto | Path, name: str = "given", **wishes: Any) -> str:
    path = made if isinstance(made, Path) else models.save(tmp_path, made)
    with pytest.raises(WrongUse) as error:
        import_onnx(path, name, Wishes(TARGET, **wishes), seed=0)
    assert "; " in error.value.message, "it says no mend"
    assert not (tmp_path / "build").exists(), "something half-written stays"
    return str(error.value.message)


def guesses(bundle: Path) -> dict[str, str]:
    return {guess.subject: guess.value for guess in read_record(bundle).guesses}


def dims(entries: Any) -> list[list[int]]:
    return [list(entry.dims) for entry in entries]


GOOD = {
    "classifier": (models.classifier(), [[3, -1, -1]], [[3]], 8),
    "embedding": (models.embedding(), [[-1], [-1]], [[8]], 8),
    "words": (models.words(), [[2], [2]], [[2]], 8),
    "fixed batch": (models.one_node("Relu", x=(1, 4), y=(1, 4)), [[1, 4]], [[1, 4]], 0),
    "batch that matters": (models.one_node("Softmax", axis=0), [[-1, 4]], [[-1, 4]], 0),
    "one axis only": (models.one_node("Relu", x=("n",), y=("n",)), [[-1]], [[-1]], 0),
    "negative is NaN": (models.one_node("Sqrt"), [[4]], [[4]], 8),
    "output without sizes": (models.output_without_sizes(), [[4]], [[2, 3]], 8),
    "output of another size": (models.output_of_another_size(), [[-1, 4]], [[2, -1]], 0),
}


@pytest.mark.parametrize("name", GOOD)
def test_the_bundle_fits_the_graph_lints_clean_and_climbs_its_own_rungs(name: str, tmp_path: Path) -> None:
    made, inputs, outputs, max_batch_size = GOOD[name]
    bundle = imported(tmp_path, made)
    config = read_config(bundle)
    assert (dims(config.input), dims(config.output)) == (inputs, outputs)
    assert config.max_batch_size == max_batch_size
    assert lint(bundle, Options(TARGET, has_gpu=False, cores=8)) == (1, [])
    model = model_of(bundle, read_manifest(bundle))
    assert isinstance(model, BundleModel)
    task, rungs = imported_rungs(model, bundle, seed=1)
    assert all(rung.passed for rung in rungs), rungs
    assert {rung.rung for rung in rungs} >= {"plain", "onnx"}
    assert len(task.samples) == 2 * len(model.batch_sizes)


def test_unchanged_files_keep_their_very_bytes(tmp_path: Path) -> None:
    bundle = imported(tmp_path, models.classifier())
    assert (bundle / "model.onnx").read_bytes() == (tmp_path / "given.onnx").read_bytes()
    manifest = read_manifest(bundle)
    assert manifest.weights is not None
    assert "given.onnx" in manifest.weights.source
    assert "no torch reference" in manifest.weights.source


def test_two_imports_give_the_same_bytes(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in imported(tmp_path, models.embedding()).iterdir()}
    second = {path.name: path.read_bytes() for path in imported(tmp_path, models.embedding()).iterdir()}
    assert {name for name in first if first[name] != second[name]} <= {"manifest.json"}


def test_what_is_guessed_is_told_with_a_reason(tmp_path: Path) -> None:
    record = read_record(imported(tmp_path, models.embedding()))
    told = {guess.subject: guess for guess in record.guesses}
    assert (told["values of ids"].value, told["values of mask"].value) == ("0 to 49", "0 to 1")
    assert "a table that has 50" in told["values of ids"].reason
    assert told["axis length"].value == "any size; tried with 5 and 8"
    assert {"batch axis", "max_batch_size", "labels", "tolerance", "instances × threads", "reference"} <= set(told)
    assert all(guess.reason for guess in record.guesses)


def test_pictures_are_tried_in_sizes_that_they_take(tmp_path: Path) -> None:
    bundle = imported(tmp_path, models.classifier())
    shapes = {sample.inputs["picture"].shape for sample in load_golden(bundle / "golden.npz")}
    assert shapes == {(1, 3, 24, 24), (2, 3, 16, 16), (3, 3, 24, 24), (8, 3, 16, 16)}


def test_options_say_otherwise(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    bundle = imported(
        tmp_path,
        models.classifier(),
        max_batch_size=4,
        labels=tmp_path / "labels.txt",
        sizes={"height": (64,), "width": (32, 64)},
        tolerance=1e-3,
        instances=2,
        threads=3,
        has_independent_rung=False,
    )
    config = read_config(bundle)
    assert (config.max_batch_size, config.instance_group[0].count) == (4, 2)
    assert config.parameters["intra_op_thread_count"].string_value == "3"
    assert dims(config.input) == [[3, 64, -1]]
    assert config.output[0].label_filename == "labels.txt"
    assert (bundle / "labels.txt").read_text() == "cat\ndog\nbird\n"
    record = read_record(bundle)
    assert record.spec.tolerances["FP32"].absolute == 1e-3
    assert not record.has_independent_rung
    graph = onnx.load(bundle / "model.onnx").graph
    assert graph.input[0].type.tensor_type.shape.dim[2].dim_value == 64, "a fixed axis is fixed in the graph too"
    assert guesses(bundle)["axis height"] == "fixed at 64"


def test_no_batch_makes_the_first_axis_one_like_others(tmp_path: Path) -> None:
    config = read_config(imported(tmp_path, models.one_node("Relu"), is_batched=False))
    assert (config.max_batch_size, dims(config.input)) == (0, [[-1, 4]])


def test_real_inputs_are_used_where_given(tmp_path: Path) -> None:
    ids = np.arange(12).reshape(4, 3) + 40
    np.savez(tmp_path / "real.npz", ids=np.minimum(ids, 49), mask=np.ones((4, 3), np.int64))
    bundle = imported(tmp_path, models.embedding(), sample_inputs=tmp_path / "real.npz")
    for sample in load_golden(bundle / "golden.npz"):
        assert sample.inputs["ids"].min() >= 40
        assert sample.inputs["mask"].all()
    model = model_of(bundle, read_manifest(bundle))
    fresh = model.sample_inputs(np.random.default_rng(5), 6)
    assert fresh["ids"].shape == (6, 3)
    assert fresh["ids"].min() >= 40


def test_external_data_beside_the_file_goes_into_it(tmp_path: Path) -> None:
    onnx.save(
        models.classifier(), tmp_path / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=0
    )
    bundle, _, _ = import_onnx(tmp_path / "big.onnx", "given", Wishes(TARGET), seed=0)
    assert not any(tensor.external_data for tensor in onnx.load(bundle / "model.onnx").graph.initializer)
    assert lint(bundle, Options(TARGET, has_gpu=False, cores=8)) == (1, [])


def test_a_newer_opset_is_converted_where_that_is_wanted(tmp_path: Path) -> None:
    made = models.one_node("Relu", opset=23, ir_version=11)
    told = refusal(tmp_path, made)
    assert "opset 23, ONNX Runtime 1.19.2 of Triton 24.10 reads up to 21" in told
    assert "IR version 11" in told
    assert "--convert-opset" in told
    bundle = imported(tmp_path, made, convert_opset=True)
    converted = onnx.load(bundle / "model.onnx")
    assert (converted.opset_import[0].version, converted.ir_version) == (21, 10)
    assert read_manifest(bundle).opset == 21
    assert guesses(bundle)["opset"] == "converted to 21, IR 10"
    newer = replace(Wishes(TARGET), target=release_named("26.06"))
    assert import_onnx(tmp_path / "given.onnx", "newer", newer, seed=0)[1]


def _external_outside(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    path = tmp_path / "inside" / "given.onnx"
    onnx.save(models.classifier(), path, save_as_external_data=True, location="w.data", size_threshold=0)
    path.write_bytes(path.read_bytes().replace(b"w.data", b"../w.d"))
    (tmp_path / "w.d").write_bytes((tmp_path / "inside" / "w.data").read_bytes())
    return path


def test_external_data_outside_its_folder_is_refused(tmp_path: Path) -> None:
    assert "external data from outside its folder: '../w.d'" in refusal(tmp_path, _external_outside(tmp_path))


def test_external_data_behind_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    path = tmp_path / "inside" / "given.onnx"
    onnx.save(models.classifier(), path, save_as_external_data=True, location="w.data", size_threshold=0)
    (tmp_path / "inside" / "w.data").rename(tmp_path / "secret")
    (tmp_path / "inside" / "w.data").symlink_to(tmp_path / "secret")
    assert "external data from outside its folder" in refusal(tmp_path, path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = models.save(tmp_path, models.classifier(), lambda content: content[: int(len(content) * share)])
    assert "is no whole ONNX file" in refusal(tmp_path, path)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (models.circle(), "topologically sorted"),
        (models.memory_bomb(), "Failed to allocate memory"),
        (models.one_node("Relu", x=("batch", 2**40), y=("batch", 2**40)), "4096 GiB"),
        (models.one_node("Nope", domain="com.example"), "operator com.example.Nope is neither"),
        (models.one_node("RandomUniformLike"), "differently each time"),
        (models.one_node("ReduceSum", keepdims=0, y=()), "output 'y' is a scalar"),
        (models.one_node("Cast", to=onnx.TensorProto.BFLOAT16), "cannot be served: BF16"),
    ],
)
def test_what_cannot_be_served_is_refused(made: onnx.ModelProto, told: str, tmp_path: Path) -> None:
    if told.endswith("BF16"):
        made.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    assert told in refusal(tmp_path, made)


def test_a_file_of_three_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = models.save(tmp_path, models.classifier())
    with path.open("r+b") as file:
        file.truncate(3 * 2**30)
    assert "3.0 GiB" in refusal(tmp_path, path)


@pytest.mark.parametrize("name", ["a/b", "a b", "", "../up", "digits_cnn"])
def test_a_name_that_is_none_or_taken_is_refused(name: str, tmp_path: Path) -> None:
    assert repr(name) in refusal(tmp_path, models.one_node("Relu"), name)


@pytest.mark.parametrize(
    ("wishes", "told"),
    [
        ({"is_batched": True}, "depends on the others of its batch"),
        ({"sizes": {"length": (3,)}}, "no input has a dynamic axis 'length'"),
        ({"labels": Path("nowhere.txt")}, "nowhere.txt cannot be read"),
        ({"sample_inputs": Path("nowhere.npz")}, "nowhere.npz cannot be read"),
    ],
)
def test_wishes_that_contradict_the_graph_are_refused(wishes: dict[str, Any], told: str, tmp_path: Path) -> None:
    assert told in refusal(tmp_path, models.one_node("Softmax", axis=0), **wishes)


def test_labels_must_be_as_many_as_an_output_has_elements(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    told = refusal(tmp_path, models.classifier(), labels=tmp_path / "labels.txt")
    assert "2 labels" in told
    assert "logits has 3" in told


def test_a_target_that_cannot_be_written_is_told(tmp_path: Path, build: Path) -> None:
    build.write_text("a file where the folder should be")
    with pytest.raises(MaasError, match="could not be written"):
        imported(tmp_path, models.one_node("Relu"))


def test_a_changed_weight_is_caught_at_the_first_rung(tmp_path: Path) -> None:
    bundle = imported(tmp_path, models.classifier())
    graph = onnx.load(bundle / "model.onnx")
    values = onnx.numpy_helper.to_array(graph.graph.initializer[0]).copy()
    values[0, 0] += 0.5
    graph.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, "weight"))
    onnx.save(graph, bundle / "model.onnx")
    model = model_of(bundle, read_manifest(bundle))
    assert isinstance(model, BundleModel)
    _, rungs = imported_rungs(model, bundle, seed=1)
    assert next(rung.rung for rung in rungs if not rung.passed) == "plain"


def test_the_record_is_json_and_damage_is_told(tmp_path: Path) -> None:
    bundle = imported(tmp_path, models.classifier())
    record = json.loads((bundle / "spec.json").read_text())
    assert record["spec"]["name"] == "given"
    (bundle / "spec.json").write_text('{"spec": 3}')
    with pytest.raises(MaasError, match=r"spec\.json is damaged"):
        read_record(bundle)
