"""What is no digit: how it is drawn, and how the score that tells it is measured."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
import torch

from maas_core.errors import WrongUse
from maas_export import evaluate
from maas_export.data import digits, other_shapes, scenes
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


def test_only_a_refusal_for_want_of_ink_tells_an_anomaly() -> None:
    cases = [case("digits"), case("letters"), case("letters")]
    evaluation, verdicts = DigitAnomaly().judge(cases, [answer(0.1), "no digit found: blank", "deadline exceeded"])
    assert evaluation.value == pytest.approx(0.5)
    assert [verdict.badness > 0 for verdict in verdicts] == [False, False, True]


@pytest.mark.parametrize(("kind", "reason"), [("3", "only digits"), ("letter", "no digits")])
def test_pictures_of_one_kind_are_refused_before_the_server_is_asked(kind: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / f"{kind}_1.png").write_bytes(png_bytes(np.zeros((30, 30), np.uint8)))
    with pytest.raises(WrongUse, match=reason):
        DigitAnomaly().cases(tmp_path, 0)


@pytest.mark.parametrize("limit", [2, 3, 12])
def test_few_cases_are_of_both_kinds(limit: int, tmp_path: Path) -> None:
    for name in ("a_1", "a_2", "b_1", "b_2", "digit_1", "z_1", "z_2", "z_3"):
        (tmp_path / f"{name}.png").write_bytes(png_bytes(np.zeros((30, 30), np.uint8)))
    chosen = [one.wanted for one in evaluate._chosen(DigitAnomaly().cases(tmp_path, 0), limit)]
    assert "digits" in chosen
    assert set(chosen) > {"digits"}


def test_all_letters_count_as_often_as_each_other() -> None:
    torch.manual_seed(0)
    model = DigitAutoencoder()
    figures = model.evaluate(AutoencoderNet().eval(), model.load_data(None, 0)).figures
    like = len(other_shapes.LETTERS_LIKE_DIGITS)
    wanted = ((52 - like) * figures["AUROC letters"] + like * figures["AUROC letters like digits"]) / 52
    assert figures["AUROC all letters"] == pytest.approx(wanted)


def test_what_cannot_be_shown_is_a_blank_page() -> None:
    whole = png_bytes(np.arange(90_000, dtype=np.uint32).reshape(300, 300).astype(np.uint8))
    for data in (whole[: len(whole) // 2], b"no picture", b""):
        assert not scenes.page_of(data).any()
