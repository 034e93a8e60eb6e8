"""The ladder by its mutants: each thing that can go wrong on the way is caught, at the rung where it went wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import ROOT, Journey, Maas, json_lines
from tests.export import mutants
from tests.export.mutants import Mutation

_DIVERGED = re.compile(r"^maas verify: (?P<bundle>\S+) diverges first at (?P<where>rung '.*)$", re.MULTILINE)

OF_DIGITS: Mapping[Mutation, str] = {
    mutants.change_one_weight: "rung 'onnx', output 'logits': golden-batch1: 1 of 10 elements are outside",
    mutants.freeze_batch_axis: "rung 'onnx': axis 0 (batch) of image is frozen at 2",
    mutants.answer_nan: "rung 'onnx', output 'logits': golden-batch1: the answer holds NaN or infinity in 1 of 10",
    mutants.rename_output: "rung 'onnx', output 'logits': golden-batch1: is missing",
    mutants.wrong_opset: "rung 'onnx': opset is 19, wanted 20",
    mutants.transpose_layout: "rung 'onnx', output 'logits': golden-batch1: 10 of 10 elements are outside",
}
OF_TWO_HEADS: Mapping[Mutation, str] = {
    mutants.swap_outputs: "rung 'onnx', output 'left': golden-batch1: 4 of 4 elements are outside",
    mutants.keep_dropout: "rung 'onnx': Dropout dropout is in training mode",
    mutants.normalise_off_by_one: "rung 'onnx', output 'left': golden-batch1: 4 of 4 elements are outside",
    mutants.freeze_inner_axis: "rung 'onnx': axis 1 (steps) of frames is frozen at 5",
}


def own_maas(*arguments: str | Path, build: Path) -> subprocess.CompletedProcess[str]:
    """``maas`` with the networks of the tests."""
    return subprocess.run(
        [sys.executable, "-m", "tests.export.own_catalogue", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env={**os.environ, "MAAS_BUILD": str(build), "COLUMNS": "200"},
        check=False,
    )


@pytest.fixture(scope="module")
def two_heads(journey: Journey) -> Path:
    """The verified bundle of a network with two outputs, dropout, a normalisation and a dynamic axis."""
    build = journey.build / "own"
    with FileLock(journey.build / "own.lock"):
        for command in ("train", "export"):
            done = own_maas(command, "two_heads", "--json", build=build)
            assert done.returncode == 0, done.stderr
    return build / "bundles" / "two_heads" / "onnx"


def mutated(bundle: Path, folder: Path, mutation: Mutation) -> Path:
    copy = folder / mutation.__name__ / bundle.parent.name / bundle.name
    shutil.copytree(bundle, copy)
    mutants.mutate(copy / "model.onnx", mutation)
    return copy


def caught(stderr: str) -> dict[str, str]:
    """Where each mutant diverged first, by the mutant's name; the list is printed."""
    found = {Path(match["bundle"]).parts[-3]: match["where"] for match in _DIVERGED.finditer(stderr)}
    for mutant, where in found.items():
        sys.stdout.write(f"{mutant:24}{where}\n")
    return found


def assert_caught(done: subprocess.CompletedProcess[str], wanted: Mapping[Mutation, str]) -> None:
    assert done.returncode == 1
    found = caught(done.stderr)
    assert set(found) == {mutation.__name__ for mutation in wanted}, done.stderr
    for mutation, reason in wanted.items():
        assert found[mutation.__name__].startswith(reason)


def test_every_mutant_of_the_digits_is_caught_and_the_control_passes(
    journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    bundles = [mutated(journey.bundle("digits_cnn"), tmp_path, each) for each in (mutants.unchanged, *OF_DIGITS)]
    done = maas("verify", *bundles, "--numbers-only", "--offline", build=journey.build)
    assert_caught(done, OF_DIGITS)
    assert f"{len(OF_DIGITS)} of {len(bundles)} bundles did not pass" in done.stderr


@pytest.mark.slow
def test_every_mutant_of_a_network_with_two_outputs_and_dropout_is_caught(two_heads: Path, tmp_path: Path) -> None:
    bundles = [mutated(two_heads, tmp_path, each) for each in (mutants.unchanged, *OF_TWO_HEADS)]
    done = own_maas("verify", *bundles, "--numbers-only", "--offline", build=two_heads.parents[2])
    assert_caught(done, OF_TWO_HEADS)


def test_preprocessing_that_is_off_by_one_on_the_server_is_caught_there(
    journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    bundle = tmp_path / "shade_off_by_one" / "digits_preprocess" / "python"
    shutil.copytree(journey.bundle("digits_preprocess"), bundle)
    mutants.shade_off_by_one(bundle / "ink.py")
    done = maas("verify", bundle, "--numbers-only", build=journey.build)
    assert done.returncode == 1
    assert caught(done.stderr)["shade_off_by_one"].startswith("rung 'http', output 'image'")


def test_bisecting_names_the_first_node_that_diverges_and_its_module(two_heads: Path, tmp_path: Path) -> None:
    wanted = {
        mutants.keep_dropout: "its input dropped comes from Dropout, which the export does not have there",
        mutants.normalise_off_by_one: "the file diverges first at node node_sub (Sub), value sub",
        mutants.swap_outputs: "value right, of right: torch.nn.modules.linear.Linear",
        mutants.freeze_inner_axis: "the file is not what it should be: golden-batch1: ",
    }
    bundles = [mutated(two_heads, tmp_path, each) for each in (mutants.unchanged, *wanted)]
    done = own_maas("verify", *bundles, "--bisect", build=two_heads.parents[2])
    assert done.returncode == 1
    assert f"{bundles[0]}: no node diverges" in done.stdout
    for line, bundle, words in zip(done.stderr.splitlines(), bundles[1:], wanted.values(), strict=False):
        assert line.startswith(f"maas verify: {bundle}: ")
        assert words in line


def test_a_mutant_is_caught_at_the_server_too_and_what_asked_none_is_not_stamped(
    journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    bundle = mutated(journey.bundle("digits_cnn"), tmp_path, mutants.change_one_weight)
    done = maas("verify", bundle, "--numbers-only", "--json", build=journey.build)
    (verdict,) = json_lines(done.stdout)
    passed = {rung["rung"]: rung["passed"] for rung in verdict["rungs"]}
    assert passed == {"torch": True, "onnx": False, "http": False, "grpc": False}
    mutants.mutate(bundle / "model.onnx", mutants.unchanged)
    before = (bundle / "manifest.json").read_bytes()
    done = maas("verify", bundle, "--offline", build=journey.build)
    assert "rung 'files': model.onnx was changed after export" in done.stderr
    assert (bundle / "manifest.json").read_bytes() == before


def test_bisecting_wants_a_graph(journey: Journey, maas: Maas) -> None:
    done = maas("verify", journey.bundle("digits_preprocess"), "--bisect", build=journey.build)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "holds no ONNX graph" in done.stderr
    assert not json_lines(done.stdout)
