"""Mean average precision on cases that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maas_export.average_precision import Found, average_precisions, matched, overlaps

LEFT, RIGHT, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (60, 60, 70, 70)


def boxes(*found: tuple[tuple[int, int, int, int], str, float]) -> Found:
    return Found(
        np.array([box for box, _, _ in found], dtype=float).reshape(-1, 4),
        np.array([label for _, label, _ in found], dtype=np.str_),
        np.array([score for _, _, score in found]),
    )


TRUE = boxes((LEFT, "a", 1), (RIGHT, "a", 1))


@pytest.mark.parametrize(
    ("got", "wanted"),
    [
        ([(LEFT, "a", 0.9), (RIGHT, "a", 0.8)], 1.0),
        ([(LEFT, "a", 0.9)], 0.5),
        ([], 0.0),
        # Wrong between two right ones: precision 1 up to a recall of 1/2, then 2/3.
        ([(LEFT, "a", 0.9), (FAR, "a", 0.8), (RIGHT, "a", 0.7)], 0.5 * 1 + 0.5 * 2 / 3),
        # Wrong first: precision 1/2 and 2/3; the precision at a recall is the best at that or a higher one.
        ([(FAR, "a", 0.9), (LEFT, "a", 0.8), (RIGHT, "a", 0.7)], 2 / 3),
        # Wrong behind all right ones costs nothing.
        ([(LEFT, "a", 0.9), (RIGHT, "a", 0.8), (FAR, "a", 0.7)], 1.0),
        # The same box twice: the second is wrong.
        ([(LEFT, "a", 0.9), (LEFT, "a", 0.8), (RIGHT, "a", 0.7)], 0.5 * 1 + 0.5 * 2 / 3),
        # Another class is no answer to this one.
        ([(LEFT, "b", 0.9), (RIGHT, "a", 0.8)], 0.5),
    ],
)
def test_hand_made_cases(got: list[tuple[tuple[int, int, int, int], str, float]], wanted: float) -> None:
    assert average_precisions([TRUE], [boxes(*got)], ["a"]) == [pytest.approx(wanted)]


def test_scores_are_compared_over_all_scenes() -> None:
    one = boxes((LEFT, "a", 1))
    got = [boxes((LEFT, "a", 0.5)), boxes((FAR, "a", 0.9))]
    assert average_precisions([one, one], got, ["a"]) == [pytest.approx(0.25)]


def test_a_class_that_no_scene_has_is_no_number() -> None:
    assert math.isnan(average_precisions([TRUE], [boxes((LEFT, "b", 0.9))], ["b"])[0])


def test_half_the_union_is_enough() -> None:
    half, less = np.array([[0, 0, 10, 20]]), np.array([[0, 0, 10, 20.1]])
    assert overlaps(half, np.array([LEFT])) == [[0.5]]
    assert matched(np.array([LEFT]), half, 0.5).tolist() == [True]
    assert matched(np.array([LEFT]), less, 0.5).tolist() == [False]


def test_boxes_without_extent_overlap_nothing() -> None:
    point = np.array([[5.0, 5, 5, 5]])
    assert overlaps(point, point).tolist() == [[0.0]]
