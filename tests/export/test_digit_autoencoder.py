"""What is no digit: how it is drawn, and how the score that tells it is measured."""

from __future__ import annotations

import string

import numpy as np
import pytest
import torch

from maas_core.errors import WrongUse
from maas_export.data import digits, other_shapes
from maas_export.models.anomaly import DigitAnomaly, DigitAutoencoder
from maas_export.networks.autoencoder import AutoencoderNet
from maas_export.picture_inputs import picture_column, png_bytes
from maas_export.served_evaluation import Answer, Case


def test_letters_are_drawn_with_as_much_ink_as_digits_are_written_with() -> None:
    """Else the score might tell printed from written, or thin from thick, and not letters from digits."""
    rng = np.random.default_rng(0)
    written = digits.built_in(0).test["ink"].mean()
    letters = other_shapes.drawn(other_shapes.LETTERS, 200, rng)
    assert letters.shape == (200, 8, 8)
    assert letters.min() >= 0
    assert letters.max() <= 1
    assert letters.mean() == pytest.approx(written, rel=0.15)


def test_letters_in_the_shape_of_digits_are_counted_by_themselves() -> None:
    assert set("OIlSZ") <= other_shapes.LETTERS_LIKE_DIGITS
    assert not set(other_shapes.LETTERS) & other_shapes.LETTERS_LIKE_DIGITS
    assert set(other_shapes.LETTERS) | other_shapes.LETTERS_LIKE_DIGITS == set(string.ascii_letters)
    assert len(other_shapes.LETTERS) >= 26


def test_shuffled_pixels_are_the_same_ink_elsewhere() -> None:
    image = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    other = other_shapes.shuffled(image, np.random.default_rng(1))
    assert not np.array_equal(other, image)
    np.testing.assert_array_equal(np.sort(other.reshape(3, -1)), np.sort(image.reshape(3, -1)))


def test_the_score_is_the_root_mean_square_of_what_could_not_be_told() -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 1, 28, 28)
    told, score = AutoencoderNet().eval()(image)
    assert told.shape == image.shape
    assert score.shape == (3, 1)
    wanted = np.sqrt(((told - image).detach().numpy() ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(score.detach().numpy()[:, 0], wanted, rtol=1e-5)


def test_the_evaluation_names_every_kind() -> None:
    torch.manual_seed(0)
    model = DigitAutoencoder()
    evaluation = model.evaluate(AutoencoderNet().eval(), model.load_data(None, 0))
    assert evaluation.measure == "AUROC letters"
    assert {
        "AUROC noise",
        "AUROC shuffled pixels",
        "AUROC letters",
        "AUROC letters like digits",
        "AUROC printed digits",
        "AUROC letters against printed digits",
        "digits above the threshold",
    } <= evaluation.figures.keys()
    assert all(0 <= value <= 1 for value in evaluation.figures.values())
    assert evaluation.picture.startswith(b"\x89PNG")


def case(kind: str) -> Case:
    return Case(kind, {"picture": picture_column([png_bytes(np.zeros((30, 30), np.uint8))])}, kind)


def answer(score: float) -> Answer:
    return {"score": np.array([[score]], np.float32), "is_anomaly": np.array([[score > 0.2]])}


def test_served_answers_are_judged_and_a_refusal_counts_as_no_digit() -> None:
    cases = [case("digits"), case("digits"), case("letters"), case("letters")]
    evaluation, verdicts = DigitAnomaly().judge(cases, [answer(0.1), answer(0.4), answer(0.3), "no digit found"])
    assert evaluation.value == pytest.approx(0.75)
    assert [verdict.badness > 0 for verdict in verdicts] == [False, True, False, False]
    assert verdicts[1].got == "anomaly (0.400)"
    assert verdicts[3].got == "no digit found"


def test_data_of_one_kind_is_refused() -> None:
    with pytest.raises(WrongUse, match="only digits"):
        DigitAnomaly().judge([case("digits")], [answer(0.1)])
    with pytest.raises(WrongUse, match="no digits"):
        DigitAnomaly().judge([case("letters")], [answer(0.1)])
