"""From the autoencoder's error to an answer; needs numpy only, not Triton."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

DEFAULT_THRESHOLD = 0.22


def judge(told_error: Floats, errors: Sequence[str], threshold: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Which rows are anomalies.

    Args:
        told_error: [rows, 1]; the numbers of a row with an error do not matter.
        errors: for each row why there is no answer, "" where there is one.
        threshold: what is above is an anomaly.

    Returns:
        Scores [rows, 1] and whether they are anomalies [rows, 1]; 0 and false for rows with an error.

    Raises:
        ValueError: where a row without an error holds NaN or infinity.
    """
    good = np.array([[not error] for error in errors], dtype=bool).reshape(-1, 1)
    if not np.isfinite(told_error[good]).all():
        raise ValueError("the scores hold NaN or infinity")
    score = np.where(good, told_error, 0).astype(np.float32)
    return score, score > threshold
