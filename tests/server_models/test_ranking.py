"""From logits to labels."""

from __future__ import annotations

import numpy as np
import pytest

from maas_export.python_models import load_module

ranking = load_module("rank_labels", "ranking")
LABELS = ["a", "b", "c", "d"]


def test_the_likeliest_come_first_with_their_probabilities() -> None:
    logits = np.log(np.array([[0.1, 0.6, 0.05, 0.25], [0.7, 0.1, 0.15, 0.05]], dtype=np.float32))
    names, scores = ranking.rank(logits, ["", ""], LABELS, 3)
    assert names.tolist() == [[b"b", b"d", b"a"], [b"a", b"c", b"b"]]
    assert scores.dtype == np.float32
    assert np.allclose(scores, [[0.6, 0.25, 0.1], [0.7, 0.15, 0.1]])


def test_rows_with_an_error_have_no_label_whatever_their_logits() -> None:
    logits = np.array([[np.nan] * 4, [0, 1, 2, 3]], dtype=np.float32)
    names, scores = ranking.rank(logits, ["the picture is blank", ""], LABELS, 2)
    assert names.tolist() == [[b"", b""], [b"d", b"c"]]
    assert scores[0].tolist() == [0, 0]


def test_great_logits_do_not_overflow() -> None:
    names, scores = ranking.rank(np.array([[1e30, -1e30, 0, 0]], dtype=np.float32), [""], LABELS, 1)
    assert names.tolist() == [[b"a"]]
    assert scores.tolist() == [[1.0]]


def test_equally_likely_classes_keep_their_order() -> None:
    labels = [str(number) for number in range(100)]
    names, _ = ranking.rank(np.zeros((1, 100), dtype=np.float32), [""], labels, 100)
    assert names.tolist() == [[label.encode() for label in labels]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="the logits hold NaN or infinity"):
        ranking.rank(np.array([[0, bad, 0, 0]], dtype=np.float32), [""], LABELS, 2)
