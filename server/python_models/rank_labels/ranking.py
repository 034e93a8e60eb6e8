"""From logits to labels with probabilities; needs numpy only, not Triton."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Texts = npt.NDArray[np.object_]


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis; the greatest logit is taken off first, so that none overflows."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def rank(logits: Floats, errors: Sequence[str], labels: Sequence[str], top_k: int) -> tuple[Texts, Floats]:
    """The likeliest classes of each row, best first; of equally likely ones the earlier comes first.

    Args:
        logits: [rows, classes]; the numbers of a row with an error do not matter.
        errors: for each row why there is no answer, "" where there is one.
        labels: the name of each class.
        top_k: how many classes to name, at most as many as there are.

    Returns:
        Names as UTF-8 bytes [rows, top_k], and probabilities [rows, top_k]; b"" and 0 for rows with an error.

    Raises:
        ValueError: where a row without an error holds NaN or infinity.
    """
    good = np.array([not error for error in errors], dtype=bool)
    if not np.isfinite(logits[good]).all():
        raise ValueError("the logits hold NaN or infinity")
    names = np.full((len(logits), top_k), b"", dtype=np.object_)
    scores = np.zeros((len(logits), top_k), dtype=np.float32)
    probabilities = softmax(logits[good].astype(np.float32))
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    names[good] = np.array([label.encode() for label in labels], dtype=np.object_)[order]
    scores[good] = np.take_along_axis(probabilities, order, axis=1)
    return names, scores
