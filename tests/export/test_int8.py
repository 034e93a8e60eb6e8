from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maas_core.errors import NotHeld, WrongUse
from maas_core.golden import load_golden
from maas_core.manifest import read_manifest
from maas_export.bundle import export_bundle
from maas_export.catalogue import torch_model_named
from maas_export.formats.int8 import calibration_batches, check_takes_int8, drop
from maas_export.formats.quantize import check_quantizable, quantize
from maas_export.formats.rungs import int8_rungs
from maas_export.ladder import Task
from maas_export.models.digits import DigitsCnn
from tests.conftest import ROOT, Journey, Maas, json_lines
from tests.export.families.two_heads import TwoHeads


@pytest.fixture(scope="module")
def built(journey: Journey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with the verified bundle of digits_cnn and its weights."""
    build = tmp_path_factory.mktemp("int8") / "build"
    journey.copy_weights(build, "digits_cnn")
    journey.copy_bundles(build, "digits_cnn")
    return build


@pytest.fixture(scope="module")
def quantized(built: Path) -> Path:
    """The bundle in 8-bit numbers, not verified."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_BUILD", str(built))
        bundle, is_new = export_bundle("digits_cnn", seed=0, bundle_format="onnx-int8")
    assert is_new
    return bundle


def rungs_of(bundle: Path) -> tuple[Task, dict[str, bool]]:
    task, rungs = int8_rungs(torch_model_named("digits_cnn"), read_manifest(bundle), bundle, 1, None)
    return task, {rung.rung: rung.passed for rung in rungs}


def test_it_is_smaller_as_good_and_says_what_was_measured(quantized: Path) -> None:
    found = json.loads((quantized / "manifest.json").read_bytes())["quantization"]
    assert found["size_bytes_int8"] < 0.3 * found["size_bytes_fp32"]
    assert (quantized / "model.onnx").stat().st_size == found["size_bytes_int8"]
    assert found["measure"] == "accuracy"
    assert found["samples"] == 360
    assert 100 * (found["fp32"] - found["int8"]) <= found["allowed_drop"] == 0.5
    assert found["calibrated_on"] == 320
    assert [entry["batch_size"] for entry in found["speed"]] == [1, 32]
    assert found["processor"]


def test_only_the_graph_and_its_golden_answers_differ(quantized: Path) -> None:
    plain = quantized.parent / "onnx"
    for name in ("config.pbtxt", "labels.txt"):
        assert (quantized / name).read_bytes() == (plain / name).read_bytes()
    for fp32, int8 in zip(*(load_golden(bundle / "golden.npz") for bundle in (plain, quantized)), strict=True):
        assert np.array_equal(fp32.inputs["image"], int8.inputs["image"])
        assert not np.array_equal(fp32.outputs["logits"], int8.outputs["logits"])


def test_ranges_are_symmetric_biases_stay_and_weights_have_a_range_for_each_channel(quantized: Path) -> None:
    model = onnx.load(quantized / "model.onnx")
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert held[node.input[2]].dtype == np.int8
            assert not held[node.input[2]].any()
    # More overflows on processors with AVX2 and without VNNI.
    for weight in ("conv1.weight", "fc2.weight"):
        assert np.abs(held[f"{weight}_quantized"].astype(int)).max() == 64
    assert held["conv1.weight_scale"].shape == (32,)
    assert held["fc2.bias"].dtype == np.float32
    assert [entry.domain for entry in model.opset_import] == [""]
    assert (model.ir_version, model.opset_import[0].version) == (10, 20)


def test_tensorrt_takes_the_quantized_graph(quantized: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="tensorrt_rtx is installed by requirements.lock")
    from maas_export.formats.engine_builder import build_engine
    from maas_export.formats.profiles import profile_of

    assert build_engine(trt, quantized / "model.onnx", profile_of(torch_model_named("digits_cnn")))


def test_the_same_graph_and_samples_give_the_same_bytes_and_no_path_is_in_them(quantized: Path, tmp_path: Path) -> None:
    model = torch_model_named("digits_cnn")
    batches = calibration_batches(model, model.load_data(None, 0), seed=0)
    digests = set()
    for name in ("one", "two"):
        quantize(quantized.parent / "onnx" / "model.onnx", tmp_path / name, batches)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert digests == {hashlib.sha256((quantized / "model.onnx").read_bytes()).hexdigest()}
    for path in quantized.iterdir():
        for trace in (str(ROOT), str(quantized.parents[2]), "site-packages"):
            assert trace.encode() not in path.read_bytes(), path


def test_the_ladder_holds_it_to_its_own_answers_and_to_the_measure(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(quantized.parents[2]))
    task, passed = rungs_of(quantized)
    assert passed == {"onnx": True, "measure": True}
    assert {sample.name for sample in task.samples} >= {"golden-batch1", "fresh-batch32"}
    spoilt = tmp_path / "digits_cnn" / "onnx-int8"
    shutil.copytree(quantized, spoilt)
    model = onnx.load(spoilt / "model.onnx")
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "fc2.weight_scale")
    scale.CopyFrom(numpy_helper.from_array(np.flip(numpy_helper.to_array(scale)) * np.float32(3), scale.name))
    onnx.save(model, spoilt / "model.onnx")
    assert rungs_of(spoilt)[1] == {"onnx": False, "measure": False}


def test_it_is_served_and_stamped(quantized: Path, maas: Maas) -> None:
    done = maas("verify", quantized, "--json", build=quantized.parents[2])
    assert done.returncode == 0, done.stderr
    (verdict,) = json_lines(done.stdout)
    assert [rung["rung"] for rung in verdict["rungs"]] == ["files", "onnx", "measure", "http", "grpc"]
    done = maas("export", "digits_cnn", "--format", "onnx-int8", build=quantized.parents[2])
    assert done.stdout.count("unchanged and verified, nothing to do") == 2


def test_a_drop_that_is_not_allowed_is_refused_with_both_figures_and_nothing_is_left(
    built: Path, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = tmp_path / "build"
    shutil.copytree(built, build, ignore=shutil.ignore_patterns("onnx-int8"))
    monkeypatch.setenv("MAAS_BUILD", str(build))
    monkeypatch.setattr(DigitsCnn, "int8_allowed_drop", -100.0)
    with pytest.raises(NotHeld, match=r"in 8-bit numbers has accuracy 0\.\d+, in 32-bit numbers 0\.\d+: worse by"):
        export_bundle("digits_cnn", seed=0, bundle_format="onnx-int8")
    assert [path.name for path in (build / "bundles" / "digits_cnn").iterdir()] == ["onnx"]


def test_a_measure_that_should_be_low_may_rise_by_a_share_of_itself() -> None:
    assert drop(0.99, 0.98, higher_is_better=True) == pytest.approx(1.0)
    assert drop(2.0, 2.01, higher_is_better=False) == pytest.approx(0.5)
    assert drop(2.0, 1.9, higher_is_better=False) < 0


def test_where_8_bit_numbers_make_no_sense_it_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stateful = torch_model_named("adoption_lstm")
    with pytest.raises(WrongUse, match="adoption_lstm keeps a state"):
        check_takes_int8(stateful, tmp_path / "never read.onnx")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    for operator, words in (("LSTM", r"is recurrent \(LSTM\)"), ("Relu", "has no Conv, ConvTranspose, Gemm, MatMul")):
        graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", [value], [value])
        with pytest.raises(WrongUse, match=words):
            check_quantizable(helper.make_model(graph), "m")
    monkeypatch.setattr(TwoHeads, "exported", lambda self, module: module)
    with pytest.raises(WrongUse, match="what is served of two_heads is not the module that its measure is taken of"):
        TwoHeads().evaluate_exported(TwoHeads().build(), TwoHeads().load_data(None, 0))


def test_data_that_the_weights_were_not_trained_on_is_refused(
    quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(quantized.parents[2]))
    digits = torch_model_named("digits_cnn").load_data(None, 0).train
    np.savez(tmp_path / "other.npz", images=(digits["ink"] * 255).astype(np.uint8), labels=digits["label"])
    with pytest.raises(WrongUse, match=r"was trained on scikit-learn load_digits, not on .*; name that data"):
        export_bundle("digits_cnn", seed=1, bundle_format="onnx-int8", data=tmp_path / "other.npz")
