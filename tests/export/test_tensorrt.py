"""The builder for TensorRT, for real and without a GPU: ``tensorrt_rtx`` has the same interface."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from maas_core.errors import NotHeld, WrongUse
from maas_core.golden import Sample
from maas_core.manifest import ShapeRange
from maas_core.spec import AxisSizes
from maas_export.catalogue import TorchModel, all_models, model_named, torch_model_named
from maas_export.formats.choice import config_in
from maas_export.formats.engine import write_engine
from maas_export.formats.engine_builder import build_engine
from maas_export.formats.engine_run import engine_answer
from maas_export.formats.kinds import TENSORRT
from maas_export.formats.profiles import check_fits, profile_of
from maas_export.onnx_export import export_onnx
from tests.conftest import ROOT, Journey, Maas
from tests.export import fake_tensorrt
from tests.export.families.two_heads import TwoHeads

trt = pytest.importorskip(
    "tensorrt_rtx_bindings", reason="tensorrt_rtx is installed by requirements.lock on Linux x86-64 only"
)
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")


@pytest.fixture(scope="module")
def frames_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph with a dynamic axis beside the batch."""
    path = tmp_path_factory.mktemp("frames") / "model.onnx"
    export_onnx(TwoHeads(), TwoHeads().build().eval(), path)
    return path


def test_the_profile_fits_the_largest_batch_and_the_declared_axes() -> None:
    assert profile_of(TwoHeads()) == {"frames": ShapeRange(min=(1, 1, 6), opt=(2, 5, 6), max=(8, 20, 6))}
    assert profile_of(model_named("digits_cnn"))["image"].max == (32, 1, 28, 28)


def test_axes_that_no_spec_declares_are_taken_from_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TwoHeads, "spec", replace(TwoHeads.spec, axes={}))
    seen = profile_of(TwoHeads())["frames"]
    assert 1 <= seen.min[1] <= seen.opt[1] <= seen.max[1] <= 20
    assert seen.max[1] > 10


def test_engines_are_built_and_the_timing_cache_is_kept(journey: Journey, frames_graph: Path, tmp_path: Path) -> None:
    cache = tmp_path / "timing" / "one.cache"
    phases: list[tuple[str, float]] = []
    graph = journey.bundle("digits_cnn") / "model.onnx"
    engine = build_engine(
        trt,
        graph,
        profile_of(model_named("digits_cnn")),
        timing_cache=cache,
        progress=lambda phase, share: phases.append((phase, share)),
    )
    assert len(engine) > 100_000
    assert cache.stat().st_size > 0
    assert ("Building engine", 1.0) in phases
    assert all(0 <= share <= 1 for _, share in phases)
    assert build_engine(trt, frames_graph, profile_of(TwoHeads()), timing_cache=cache)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, model in all_models().items() if isinstance(model, TorchModel)])
def test_every_network_of_the_catalogue_becomes_an_engine(name: str, tmp_path: Path) -> None:
    model = torch_model_named(name)
    export_onnx(model, model.exported(model.build().eval()).eval(), tmp_path / "model.onnx")
    assert build_engine(trt, tmp_path / "model.onnx", profile_of(model))


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"frames": ShapeRange(min=(1, 1, 6), opt=(9, 5, 6), max=(8, 20, 6))}, "satisfy MIN<=OPT<=MAX"),
        ({"frames": ShapeRange(min=(1, 1, 6), opt=(2, 5, 7), max=(8, 20, 7))}, "Dimension mismatch"),
        ({"frames": ShapeRange(min=(1, 6), opt=(2, 6), max=(8, 6))}, "has 3 dimensions but profile 0 has 2"),
        ({}, "the graph takes frames, the profile has "),
    ],
)
def test_bad_profiles_are_refused_in_one_line(
    frames_graph: Path, profile: Mapping[str, ShapeRange], words: str
) -> None:
    with pytest.raises(NotHeld, match=words) as told:
        build_engine(trt, frames_graph, profile)
    assert "\n" not in told.value.message


def test_a_file_that_is_no_graph_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(NotHeld, match=r"TensorRT cannot read model\.onnx") as told:
        build_engine(trt, tmp_path / "model.onnx", {})
    assert "\n" not in told.value.message


def test_sizes_that_do_not_rise_and_samples_outside_them_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongUse, match=r"frames is \[2, 30, 6\], outside the profile \[1, 1, 6\] to \[8, 20, 6\]"):
        check_fits(profile_of(TwoHeads()), {"frames": np.zeros((2, 30, 6), np.float32)})
    monkeypatch.setattr(TwoHeads, "spec", replace(TwoHeads.spec, axes={"steps": AxisSizes(5, 3, 9)}))
    with pytest.raises(WrongUse, match="axis steps of two_heads is 5 to 9, usually 3"):
        profile_of(TwoHeads())


def test_an_engine_says_where_it_runs_and_names_no_path(
    frames_graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))

    def found(model: str) -> tuple[ModuleType, str]:
        return trt, "8.6"

    sample = Sample("one", {"frames": np.zeros((2, 3, 6), np.float32)}, {})
    entry = write_engine(TwoHeads(), frames_graph, tmp_path / "model.plan", [sample], find=found)
    assert (entry.tensorrt, entry.compute_capability) == (trt.__version__, "8.6")
    assert entry.profile["frames"].max == (8, 20, 6)
    assert str(ROOT).encode() not in (tmp_path / "model.plan").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "model.plan").read_bytes()
    assert len(list((tmp_path / "build" / "timing").iterdir())) == 1
    long = Sample("long", {"frames": np.zeros((2, 21, 6), np.float32)}, {})
    with pytest.raises(WrongUse, match="outside the profile"):
        write_engine(TwoHeads(), frames_graph, tmp_path / "model.plan", [long], find=found)


def test_the_configuration_names_the_backend_and_nothing_of_onnx_runtime() -> None:
    config = config_in(TwoHeads(), TENSORRT)
    assert (config.backend, config.max_batch_size, dict(config.parameters)) == ("tensorrt", 8, {})


def test_an_engine_answers_as_a_function_of_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    plan = tmp_path / "model.plan"
    plan.write_bytes(b"an engine")
    fake = sys.modules[fake_tensorrt.__name__]
    answer = engine_answer(fake, plan, model_named("digits_cnn").spec, device="cpu")
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(answer({"image": image})["logits"], 2 * image)
    with pytest.raises(NotHeld, match=r"the engine refuses image of shape \[5, 3\]"):
        answer({"image": np.zeros((5, 3), np.float32)})
    plan.write_bytes(b"")
    with pytest.raises(NotHeld, match="TensorRT does not load"):
        engine_answer(fake, plan, model_named("digits_cnn").spec, device="cpu")


def test_without_a_gpu_the_way_on_is_one_sentence_and_nothing_is_left(journey: Journey, maas: Maas) -> None:
    done = maas("export", "digits_cnn", "--format", "tensorrt", build=journey.build)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "nvcr.io/nvidia/tensorrt:" in done.stderr
    assert "maas export digits_cnn --format tensorrt" in done.stderr
    assert "--format onnx-tensorrt" in done.stderr
    left = {path.name for path in journey.bundle("digits_cnn").parent.iterdir()}
    assert not {name for name in left if name.startswith((".", "tensorrt"))}
