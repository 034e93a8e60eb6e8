"""Mean average precision of a detector.

Source: Everingham et al., *The PASCAL Visual Object Classes Challenge: A Retrospective* (2015), section 2.2: all-point
interpolation, as in the challenge since 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maas_core.golden import Array


@dataclass(frozen=True)
class Found:
    """The boxes of one scene: ``boxes`` [n, 4] (left, top, right, bottom), ``labels`` [n], ``scores`` [n].

    Of the true boxes the scores are not looked at.
    """

    boxes: Array
    labels: Array
    scores: Array


def average_precisions(
    wanted: Sequence[Found], got: Sequence[Found], classes: Sequence[object], least_overlap: float = 0.5
) -> list[float]:
    """The average precision of each class; NaN for a class that no scene has.

    Args:
        wanted: the true boxes, scene by scene.
        got: what was found in the same scenes.
        classes: the labels.
        least_overlap: intersection over union from which a box is the true one.
    """
    return [_average_precision(wanted, got, label, least_overlap) for label in classes]


def overlaps(one: Array, other: Array) -> Array:
    """Intersection over union of each box [n, 4] with each other [m, 4]: [n, m]; 0 for boxes without extent."""
    one, other = np.asarray(one, np.float64).reshape(-1, 1, 4), np.asarray(other, np.float64).reshape(1, -1, 4)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    common = np.clip(sides, 0, None).prod(-1)
    union = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def _average_precision(wanted: Sequence[Found], got: Sequence[Found], label: object, least_overlap: float) -> float:
    total = sum(int((true.labels == label).sum()) for true in wanted)
    if total == 0:
        return float("nan")
    scores, right = [], []
    for true, found in zip(wanted, got, strict=True):
        of_class = found.labels == label
        likeliest = np.argsort(-found.scores[of_class], kind="stable")
        scores.append(found.scores[of_class][likeliest])
        right.append(matched(true.boxes[true.labels == label], found.boxes[of_class][likeliest], least_overlap))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.cumsum(np.concatenate(right)[order])
    recall = hits / total
    precision = hits / np.arange(1, len(hits) + 1)
    # The precision at a recall is the best one at that recall or any higher.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best))


def matched(wanted: Array, found: Array, least_overlap: float) -> Array:
    """Which of the boxes found are right, [n] bool.

    The first one chooses first, the true box that it overlaps most; where that one is taken already, it is wrong.
    """
    overlap = overlaps(found, wanted)
    right = np.zeros(len(found), dtype=bool)
    taken = np.zeros(len(wanted), dtype=bool)
    for box in range(len(found)) if len(wanted) else ():
        best = int(np.argmax(overlap[box]))
        if overlap[box, best] >= least_overlap and not taken[best]:
            right[box] = taken[best] = True
    return right
