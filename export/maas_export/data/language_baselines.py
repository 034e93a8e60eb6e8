"""What counting groups of characters reaches without a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from maas_export.data.split import Split

_KNOWN: dict[str, Mapping[str, float]] = {}
"""By digest of the split: three networks and several seeds are held against the same baselines."""


def ngram_baselines(split: Split) -> Mapping[str, float]:
    """Accuracy on the held-out part of two methods on groups of 1 to 4 characters, fitted on the training part.

    Their smoothing and regularisation are those of several tried that served them best.
    """
    if split.digest not in _KNOWN:
        _KNOWN[split.digest] = _fitted(split)
    return _KNOWN[split.digest]


def _fitted(split: Split) -> Mapping[str, float]:
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    # Letter case says something about a language, so the baseline may see it.
    groups = {"analyzer": "char_wb", "ngram_range": (1, 4), "lowercase": False}
    methods = {
        "character n-grams, logistic regression": make_pipeline(
            TfidfVectorizer(sublinear_tf=True, **groups), LogisticRegression(C=20.0, max_iter=200, tol=1e-3)
        ),
        "character n-grams, naive Bayes": make_pipeline(
            CountVectorizer(**groups), MultinomialNB(alpha=0.1, fit_prior=False)
        ),
    }
    accuracies = {}
    for name, method in methods.items():
        method.fit(split.train["text"], split.train["label"])
        accuracies[name] = float(np.mean(method.predict(split.test["text"]) == split.test["label"]))
    return accuracies
