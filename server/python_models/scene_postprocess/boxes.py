"""From boxes in the detector's square to boxes in the given picture; needs numpy only, not Triton."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DEFAULT_LEAST_SCORE = 0.4


def in_pictures(
    boxes: Array,
    score: Array,
    index: Array,
    frame: Array,
    errors: Sequence[str],
    labels: Sequence[str],
    least_score: float = DEFAULT_LEAST_SCORE,
) -> tuple[Array, Array, Array, Array]:
    """The boxes whose score is high enough, in pixels of the upright picture, in the order in which they came.

    Args:
        boxes: [pictures, boxes, 4]: left, top, right, bottom in pixels of the square.
        score: [pictures, boxes], 0 to 1; 0 where there is no box.
        index: [pictures, boxes], numbers of classes.
        frame: [pictures, 5]: left, top, scale, width, height, as ``scene_preprocess`` gives it.
        errors: for each picture why there is no answer, "" where there is one.
        labels: the names of the classes.
        least_score: boxes with less are left out.

    Returns:
        Boxes [pictures, boxes, 4], labels as UTF-8 bytes [pictures, boxes], scores [pictures, boxes] and how many are
        meant [pictures, 1]; 0 and b"" behind them, and for pictures with an error.

    Raises:
        ValueError: where a picture without an error has a score that is NaN or a class without a name.
    """
    found = np.zeros(boxes.shape, dtype=np.float32)
    names = np.full(score.shape, b"", dtype=np.object_)
    scores = np.zeros(score.shape, dtype=np.float32)
    counts = np.zeros((len(boxes), 1), dtype=np.int32)
    for row, error in enumerate(errors):
        if error:
            continue
        if not (np.isfinite(score[row]).all() and np.isfinite(boxes[row]).all()):
            raise ValueError("boxes or scores hold NaN or infinity")
        kept = np.flatnonzero((score[row] >= least_score) & (score[row] > 0))
        if kept.size and not 0 <= index[row, kept].min() <= index[row, kept].max() < len(labels):
            raise ValueError(f"a class is {index[row, kept].max()}, there are names for {len(labels)}")
        count = len(kept)
        counts[row] = count
        found[row, :count] = _in_picture(boxes[row, kept], frame[row])
        names[row, :count] = [labels[number].encode() for number in index[row, kept]]
        scores[row, :count] = score[row, kept]
    return found, names, scores, counts


def _in_picture(boxes: Array, frame: Array) -> Array:
    left, top, scale, width, height = (float(number) for number in frame)
    corner = np.array([left, top, left, top])
    return np.asarray(np.clip((boxes - corner) * scale, 0, [width, height, width, height]), dtype=np.float32)
