"""Training as a user runs it: killed and resumed, started from a published version, on a share of the data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maas_export.catalogue import all_models
from maas_export.recipe import Recipe
from tests.conftest import Journey, Maas

QUICK = ("train", "digits_cnn", "--share", "0.1", "--json")
KILLED_AFTER_A_CHECKPOINT = """
import os, signal
from maas_core.cli import main
from maas_export import training

def write_and_die(*arguments):
    write(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

write, training.write_checkpoint = training.write_checkpoint, write_and_die
main()
"""


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(maas: Maas, tmp_path: Path) -> None:
    unbroken = json.loads(maas(*QUICK, "--epochs", "8", build=tmp_path / "unbroken").stdout)
    build = tmp_path / "killed"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_A_CHECKPOINT, *QUICK, "--epochs", "8"],
        env={**os.environ, "MAAS_BUILD": str(build)},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(build.glob("weights/digits_cnn/checkpoint-*.pt"))
    assert not list(build.glob("weights/digits_cnn/*/training.json"))
    resumed = json.loads(maas(*QUICK, "--epochs", "8", build=build).stdout)
    assert resumed["sha256"] == unbroken["sha256"]
    assert not list(build.glob("weights/digits_cnn/checkpoint-*")), "a finished training needs no checkpoint"


def test_a_damaged_checkpoint_is_worth_nothing_and_does_no_harm(tmp_path: Path) -> None:
    from maas_export.checkpoint import read_checkpoint, write_checkpoint

    path = tmp_path / "checkpoint.pt"
    assert read_checkpoint(path) is None
    write_checkpoint(path, {"epoch": 3})
    assert read_checkpoint(path) == {"epoch": 3}
    path.write_bytes(path.read_bytes()[:-20])
    assert read_checkpoint(path) is None


def test_fine_tuning_starts_from_a_published_version_and_shows_both_evaluations(
    journey: Journey, maas: Maas, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    journey.copy_weights(build, "digits_cnn")
    published = ("--from-version", "1", "--repository", journey.repository)
    tuned = json.loads(maas(*QUICK, *published, "--epochs", "1").stdout)
    manifest = json.loads((journey.repository / "digits_cnn" / "1" / "manifest.json").read_bytes())
    assert tuned["started_from"] == manifest["weights"]["sha256"] != tuned["sha256"]
    assert tuned["evaluation_before"]["value"] >= 0.98
    assert tuned["evaluation_before"]["samples"] == tuned["evaluation"]["samples"] == 360
    shown = maas(*QUICK[:-1], *published, "--epochs", "1").stdout
    assert "before, on the same held-out data: accuracy 9" in shown


def test_a_version_that_cannot_be_started_from_is_refused(journey: Journey, maas: Maas) -> None:
    published = ("--repository", journey.repository)
    absent = maas(*QUICK, "--from-version", "99", *published)
    assert (absent.returncode, len(absent.stderr.splitlines())) == (2, 1)
    assert "digits_cnn has no version 99" in absent.stderr
    elsewhere = maas(*QUICK, "--from-version", "1", *published)
    assert elsewhere.returncode == 2
    assert "are not kept on this machine" in elsewhere.stderr


def test_a_rate_rises_and_falls_as_the_recipe_says() -> None:
    recipe = Recipe(epochs=1, batch_size=1, learning_rate=1.0, warmup_share=0.1)
    shares = [recipe.rate_share(done) for done in (0.0, 0.05, 0.1, 0.55, 1.0)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0], abs=1e-9)
    assert Recipe(epochs=1, batch_size=1, learning_rate=1.0).rate_share(0.0) == 1.0


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        (
            "from maas_export.catalogue import all_models; all_models()",
            {"torch", "transformers", "onnx", "sklearn", "skimage", "matplotlib"},
        ),
        ("import maas_export.verify", {"torch", "transformers", "onnxslim", "sklearn", "skimage", "matplotlib"}),
    ],
    ids=["the catalogue", "verification"],
)
def test_what_needs_no_network_does_not_wait_for_torch(code: str, unwanted: set[str]) -> None:
    code = f"import sys; {code}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not unwanted & set(loaded)
    assert len(all_models()) > 3
