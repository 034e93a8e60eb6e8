from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.conftest import ROOT, Journey, Maas, json_lines, run_maas
from tests.waiting import wait_until


def test_training_reaches_98_percent_and_leaves_its_evaluation(journey: Journey) -> None:
    weights = journey.build / "weights/digits_cnn"
    folder = weights / (weights / "latest").read_text()[:16]
    record = json.loads((folder / "training.json").read_text())
    evaluation = record["evaluation"]
    assert evaluation["value"] >= 0.98
    assert [scores["label"] for scores in evaluation["details"]["classes"]] == list("0123456789")
    assert np.sum(evaluation["details"]["confusion"]) == 360
    assert {"precision", "recall", "f1"} <= evaluation["details"]["classes"][0].keys()
    assert min(Image.open(folder / "evaluation.png").size) > 300


FEW = ("--share", "0.1", "--epochs", "1", "--json")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The build folder of a short training of the digits, and its record."""
    build = tmp_path_factory.mktemp("alone")
    return build, json.loads(run_maas("train", "digits_cnn", *FEW, "--jobs", "1", build=build).stdout)


def test_the_same_seed_gives_the_same_weights_and_no_second_training(alone: tuple[Path, dict[str, Any]]) -> None:
    build, first = alone
    again, anew = (
        json.loads(run_maas("train", "digits_cnn", *FEW, *options, build=build).stdout)
        for options in ((), ("--again",))
    )
    assert (first["trained"], again["trained"], anew["trained"]) == (True, False, True)
    assert first["sha256"] == again["sha256"] == anew["sha256"]


@pytest.mark.slow
def test_several_seeds_keep_the_first_and_tell_the_mean(alone: tuple[Path, dict[str, Any]]) -> None:
    build, one = alone
    three = json.loads(run_maas("train", "digits_cnn", *FEW, "--seeds", "3", build=build).stdout)
    assert three["sha256"] == one["sha256"]
    assert sorted(three["over_seeds"]) == ["0", "1", "2"]
    assert three["over_seeds"]["0"] == one["evaluation"]["value"]
    assert "mean of 3 seeds" in run_maas("train", "digits_cnn", *FEW[:-1], "--seeds", "3", build=build).stdout


@pytest.mark.slow
def test_several_models_at_once_give_the_same_weights(maas: Maas, alone: tuple[Path, dict[str, Any]]) -> None:
    _, first = alone
    done = maas("train", "digits_cnn", "digit_autoencoder", *FEW, "--jobs", "2")
    records = {record["model"]: record for record in json_lines(done.stdout)}
    assert records.keys() == {"digits_cnn", "digit_autoencoder"}
    assert records["digits_cnn"]["sha256"] == first["sha256"]


@pytest.mark.parametrize("killed", ["one training", "the command"])
def test_whoever_is_killed_no_training_goes_on(killed: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "maas_core", "train", "digit_detector", "tiny_gpt", "--jobs", "2"]
    environment = {**os.environ, "MAAS_BUILD": str(tmp_path / "build")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        trainings = wait_for_trainings(psutil.Process(process.pid))
        (trainings[0] if killed == "one training" else process).kill()
        _, said = process.communicate(timeout=60)
    assert psutil.wait_procs(trainings, timeout=20)[1] == []
    if killed == "one training":
        assert process.returncode == 1
        assert "ended with exit code -9; where nothing stands above: is there enough memory?" in said
        assert len(said.splitlines()) == 1


def wait_for_trainings(command: psutil.Process) -> list[psutil.Process]:
    """The two processes, when they have begun to work."""
    found: list[psutil.Process] = []

    def have_begun() -> bool:
        found[:] = [child for child in command.children() if is_at_work(child)]
        return len(found) == 2

    wait_until(have_begun, "two trainings at work")
    return found


def is_at_work(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline()) and process.cpu_times().user > 1
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nonsense"], "maas train: there is no model 'nonsense'; the catalogue has adoption, adoption_lstm"),
        (["digits"], "maas train: digits has no weights to train; these have: adoption_lstm, "),
        (["digits_cnn", "--data", "absent.npz"], "maas train: there is no file absent.npz"),
        (["digits_cnn", "--epochs", "0"], "maas train: Invalid value for '--epochs'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(maas: Maas, arguments: list[str], reason: str) -> None:
    done = maas("train", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(reason)
    assert len(done.stderr.splitlines()) == 1
