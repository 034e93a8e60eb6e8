"""A torch module of one's own: the walk-through of docs/own-model.md, and everything that can be wrong with a spec."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from maas_core.errors import MaasError, WrongUse
from maas_export.own import OwnModel
from maas_export.own.exporter import default_name, export_own, own_source
from maas_export.own.graph import write_onnx
from maas_export.own.loading import load_own, user_code
from maas_export.own.plan import Plan, plan_of
from maas_export.own.source import Source, remember
from maas_export.verify import verify_bundle
from tests.conftest import ROOT, json_lines, run_maas

EXAMPLE = ROOT / "examples" / "own_model" / "net.py"
PAGE = ROOT / "docs" / "own-model.md"


class Net(nn.Module):
    """Two linear answers."""

    def __init__(self, answer: Callable[[torch.Tensor], object] = lambda values: values) -> None:
        super().__init__()
        self.layer, self.dropout, self.answer = nn.Linear(4, 2), nn.Dropout(0.5), answer

    def forward(self, image: torch.Tensor) -> object:
        return self.answer(self.dropout(self.layer(image)))


def plan(own: OwnModel) -> Plan:
    return plan_of(own, "net", "net.py:SPEC", lambda doing: user_code(Path("net.py"), doing))


def own(answer: Callable[[torch.Tensor], object] = lambda values: values, **fields: object) -> OwnModel:
    given: dict[str, object] = {"inputs": torch.randn(2, 4), **fields}
    return OwnModel(module=Net(answer), **given)  # type: ignore[arg-type]  # wrong ones too


def test_names_come_from_forward_from_keys_and_from_the_user() -> None:
    spec = plan(own()).spec
    assert [tensor.name for tensor in (*spec.inputs, *spec.outputs)] == ["image", "output"]
    assert spec.summary == "Two linear answers."
    pair = plan(own(lambda values: (values, values * 2))).spec
    assert [tensor.name for tensor in pair.outputs] == ["output_0", "output_1"]
    keyed = plan(own(lambda values: {"good": values, "bad": None, "ugly": -values})).spec
    assert [tensor.name for tensor in keyed.outputs] == ["good", "ugly"]
    renamed = plan(own(lambda values: (values, values), outputs=("a", "b"), inputs={"x": torch.randn(2, 4)})).spec
    assert [tensor.name for tensor in (*renamed.inputs, *renamed.outputs)] == ["x", "a", "b"]


def test_every_derived_thing_is_told_with_its_reason() -> None:
    found = plan(own(max_batch_size=16, labels=("no", "yes")))
    told = {guess.subject: guess for guess in found.guesses}
    assert {"name", "mode", "input image", "output output", "max_batch_size", "values of image", "tolerance"} <= set(
        told
    )
    assert "eval() was called" in told["mode"].reason
    assert told["max_batch_size"].reason == "you said so"
    assert all(guess.reason for guess in found.guesses)
    assert found.spec.labels == ("no", "yes")
    assert not any(part.training for part in found.adapter.modules())


def test_a_batch_whose_samples_depend_on_each_other_is_not_joined() -> None:
    found = plan(own(lambda values: values - values.mean(0, keepdim=True)))
    assert found.spec.serving.max_batch_size == 0
    assert found.spec.inputs[0].dims == ("batch", 4)
    reason = next(guess.reason for guess in found.guesses if guess.subject == "max_batch_size")
    assert "depends on the others" in reason
    with pytest.raises(WrongUse, match="depends on the others"):
        plan(own(lambda values: values - values.mean(0, keepdim=True), max_batch_size=4))


def test_made_up_values_are_like_the_example_or_in_the_declared_range() -> None:
    floats = plan(own(inputs=torch.randn(200, 4) * 3 + 10)).ranges["image"]
    assert (floats.kind, round(floats.mean), round(floats.deviation)) == ("normal", 10, 3)
    declared = plan(own(ranges={"image": (0, 5)})).ranges["image"]
    assert (declared.kind, declared.least, declared.most) == ("uniform", 0, 5)
    table = OwnModel(nn.Embedding(9, 3), {"ids": torch.tensor([[1, 8], [0, 3]])}, {"ids": {0: "batch", 1: "length"}})
    found = plan(table)
    assert (found.ranges["ids"].low, found.ranges["ids"].high) == (0, 9)
    assert found.spec.outputs[0].dims == ("length", 3)
    assert found.spec.inputs[0].datatype == "INT64"


WRONG: dict[str, tuple[Callable[[], OwnModel], str]] = {
    "no module": (lambda: OwnModel(Net, torch.zeros(2, 4)), "module is type"),  # type: ignore[arg-type]  # a class
    "misfit": (lambda: own(inputs=torch.zeros(2, 5)), r"raises RuntimeError when it is called with image \[2, 5\]"),
    "text as input": (lambda: own(inputs={"image": "cat"}), "'image' is str"),
    "a string": (lambda: own(lambda _: "odd"), "the module returns str"),
    "nested": (lambda: own(lambda values: (values, [values])), "'output_1' of type list"),
    "nan": (lambda: own(lambda values: values * float("nan")), "'output' holds NaN"),
    "scalar": (lambda: own(lambda values: values.mean()), "'output' is a scalar"),
    "bfloat16": (lambda: own(lambda values: values.to(torch.bfloat16)), "torch.bfloat16"),
    "random": (lambda: own(lambda values: values + torch.rand_like(values)), "differs from one run to the next"),
    "fixed axis": (lambda: own(lambda values: values.reshape(2, 2)), r"'batch' \(axis 0 of image\).*only 2 runs"),
    "axis too many": (lambda: own(axes={"image": {2: "length"}}), "names axis 2"),
    "axis of nothing": (lambda: own(axes={"sound": {0: "batch"}}), "'sound', which is no input"),
    "axis name": (lambda: own(axes={"image": {0: "a b"}}), "is called 'a b'"),
    "name": (lambda: own(name="a/b c"), "cannot be a model's name"),
    "tensor name": (lambda: own(lambda values: {"a b": values}), "'a b' cannot be the name of an output"),
    "same names": (lambda: own(lambda values: {"image": values}), "both called 'image'"),
    "labels": (lambda: own(labels=("a", "b", "c")), "there are 3 labels"),
    "outputs": (lambda: own(outputs=("a", "b")), "outputs has 2 names"),
    "ranges": (lambda: own(ranges={"image": (1, 0)}), "ranges of 'image'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_served_is_refused_in_one_sentence(case: str) -> None:
    make, message = WRONG[case]
    with pytest.raises(WrongUse, match=message) as caught:
        plan(make())
    assert "\n" not in caught.value.message
    assert caught.value.mend


def test_an_axis_that_torch_cannot_keep_dynamic_is_named(tmp_path: Path) -> None:
    def unrolled(values: torch.Tensor) -> torch.Tensor:
        return sum((values[:, step] for step in range(values.shape[1])), torch.zeros(values.shape[0], values.shape[2]))

    lengths = {"image": {0: "batch", 1: "length"}}
    found = plan(own(unrolled, inputs=torch.randn(2, 5, 4), axes=lengths))
    with pytest.raises(WrongUse, match=r"axis 'length' cannot be dynamic for torch.export") as caught:
        write_onnx(found, tmp_path / "model.onnx")
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


def test_a_build_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "build").write_text("a file")
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))
    with pytest.raises(MaasError, match=r"net.json could not be written.*give rights"):
        remember("net", Source("file", str(EXAMPLE), "SPEC"))


FILES = {
    "x = {}\nx['missing']\n": r"wrong.py line 2 raises KeyError",
    "def f(:\n": r"wrong.py line 1: invalid syntax",
    "import sys\nsys.exit(3)\n": r"wrong.py line 2 ends the program",
    "OTHER = 3\n": r"SPEC is missing in wrong.py",
    "SPEC = 3\n": r"SPEC is int, no OwnModel",
}


@pytest.mark.parametrize("text", FILES)
def test_a_file_that_goes_wrong_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(text)
    with pytest.raises(WrongUse, match=FILES[text]):
        load_own(path, "SPEC")


def test_the_name_is_the_files_or_the_specs() -> None:
    one, other = own_source("nets/net.py"), own_source("nets/net.py:Small")
    assert one is not None
    assert other is not None
    assert (default_name(one), default_name(other)) == ("net", "small")
    assert own_source("digits_cnn") is None


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of the page, run on a copy of the example."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(EXAMPLE, folder / "net.py")
    block = re.search(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    for line in block[1].splitlines():
        words = line.split("#")[0].replace("examples/own_model/", "").split()
        if words[:1] == ["maas"] and words[1] in ("export", "verify", "publish", "lint"):
            done = run_maas(*words[1:], build=folder / "build", cwd=folder)
            assert done.returncode == 0, done.stderr
    return folder


def test_the_walk_through_of_the_page_ends_with_a_published_model(walk: Path) -> None:
    manifest = json.loads((walk / "build" / "bundles" / "net" / "onnx" / "manifest.json").read_bytes())
    assert [rung["rung"] for rung in manifest["verification"]["rungs"]] == ["files", "torch", "onnx", "http", "grpc"]
    assert manifest["verification"]["passed"]
    assert (walk / "model_repository" / "net" / "1" / "model.onnx").is_file()
    assert not [
        path
        for path in (walk / "model_repository").rglob("*")
        if path.is_file() and str(walk).encode() in path.read_bytes()
    ]


def test_the_code_of_the_page_is_the_example() -> None:
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    assert block[1].strip() in EXAMPLE.read_text(encoding="utf-8")


def test_a_second_export_is_no_work_and_prints_of_the_file_do_not_spoil_json(walk: Path) -> None:
    done = run_maas("export", "net.py:SPEC", "--json", build=walk / "build", cwd=walk)
    assert not json_lines(done.stdout)[0]["new"]


def test_without_the_file_the_golden_samples_speak_alone(walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(walk / "a machine that never saw the file"))
    verification = verify_bundle(walk / "build" / "bundles" / "net" / "onnx", seed=1, offline=True)
    assert verification.passed
    assert [rung.rung for rung in verification.rungs] == ["files", "onnx"]


def test_a_file_that_misbehaves_harms_nobody_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path / "build"))
    path = tmp_path / "rude.py"
    path.write_text(
        dedent(
            """
            import os
            import torch
            from maas_export.own import OwnModel
            print('{"not": "ours"}')
            os.chdir("/")
            torch.set_default_dtype(torch.float64)
            class Net(torch.nn.Module):
                def forward(self, x):
                    os._exit(0)
            SPEC = OwnModel(Net(), torch.zeros(2, 3))
            """
        )
    )
    before = Path.cwd()
    with pytest.raises(MaasError, match=r"rude.py:SPEC ended its process in stage 'try', exit status 0"):
        export_own(Source("file", str(path), "SPEC"), name=None, seed=0)
    assert not capfd.readouterr().out
    assert (Path.cwd(), torch.get_default_dtype()) == (before, torch.float32)
    assert not list((tmp_path / "build").glob("bundles/**/*"))
