"""What embeddings of sentences are worth: whether each finds the one that says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from maas_core.golden import Array
from maas_export.evaluation import Evaluation
from maas_export.pictures.sentence import likeness_picture

MEASURE = "ranking accuracy"


def ranking(
    firsts: Array,
    seconds: Array,
    pairs: Sequence[tuple[str, str]],
    title: str,
    further_figures: Mapping[str, float] | None = None,
) -> Evaluation:
    """How often a sentence's partner is the most alike of all partners, in both directions.

    Args:
        firsts: unit vectors of the first sentences [pairs, width].
        seconds: of the second ones, in the same order.
        pairs: the sentences themselves, for the baseline: cosines of weighted word counts (TF-IDF).
        title: of the picture.
        further_figures: that were measured elsewhere.
    """
    likeness = firsts @ seconds.T
    accuracy = accuracy_of(likeness)
    own = likeness.diagonal()
    others = likeness[~np.eye(len(likeness), dtype=bool)]
    return Evaluation(
        measure=MEASURE,
        figures={
            MEASURE: accuracy,
            "mean cosine of partners": float(own.mean()),
            "mean cosine of others": float(others.mean()),
            **(further_figures or {}),
        },
        samples=len(pairs),
        picture=likeness_picture(likeness, f"{title}: {accuracy:.0%} of {2 * len(pairs)} sentences find their partner"),
        baselines={"shared words (TF-IDF)": accuracy_of(_shared_words(pairs))},
    )


def accuracy_of(likeness: Array) -> float:
    """The share of rows and columns whose greatest value lies on the diagonal; ties count as wrong."""
    own = likeness.diagonal()
    others = np.where(np.eye(len(likeness), dtype=bool), -np.inf, likeness)
    return float(np.mean([others.max(axis=1) < own, others.max(axis=0) < own]))


def _shared_words(pairs: Sequence[tuple[str, str]]) -> Array:
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer().fit([text for pair in pairs for text in pair])
    firsts, seconds = (words.transform([pair[place] for pair in pairs]) for place in (0, 1))
    likeness: Array = np.asarray((firsts @ seconds.T).todense())
    return likeness
