from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Journey, Maas


def test_training_reaches_98_percent_and_leaves_its_evaluation(journey: Journey) -> None:
    folder = next(path for path in (journey.build / "weights/digits_cnn").iterdir() if path.is_dir())
    record = json.loads((folder / "training.json").read_text())
    evaluation = record["evaluation"]
    assert evaluation["value"] >= 0.98
    assert [scores["label"] for scores in evaluation["details"]["classes"]] == list("0123456789")
    assert np.sum(evaluation["details"]["confusion"]) == 360
    assert {"precision", "recall", "f1"} <= evaluation["details"]["classes"][0].keys()
    assert min(Image.open(folder / "evaluation.png").size) > 300


def test_the_same_seed_gives_the_same_weights_and_no_second_training(maas: Maas, tmp_path: Path) -> None:
    first = json.loads(maas("train", "digits_cnn", "--epochs", "1", "--json").stdout)
    again = json.loads(maas("train", "digits_cnn", "--epochs", "1", "--json").stdout)
    anew = json.loads(maas("train", "digits_cnn", "--epochs", "1", "--again", "--json").stdout)
    assert (first["trained"], again["trained"], anew["trained"]) == (True, False, True)
    assert first["sha256"] == again["sha256"] == anew["sha256"]


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
