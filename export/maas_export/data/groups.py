"""Splitting so that nothing leaks: what is nearly the same stays on one side."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_export.data.split import Split

_HELD_OUT_SHARE = 0.2
_LEAST_GROUPS = 5
_ROWS_AT_ONCE = 1000
_ROUNDING = 1e-3


def folded(text: str) -> str:
    """Letters only, in lower case and without accents; blanks between words."""
    bare = (mark for mark in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(mark))
    return " ".join("".join(mark if mark.isalpha() else " " for mark in bare).split())


def near_duplicates(texts: Sequence[str], labels: Array, alike: float) -> list[int]:
    """A group number for each text: texts of one label that are alike, directly or through others, share it.

    Args:
        texts: [samples].
        labels: class numbers [samples]; texts of different labels never share a group.
        alike: from which Jaccard index of their letter triples (words padded with blanks, :func:`folded`) on.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from sklearn.feature_extraction.text import CountVectorizer

    plain = np.array([folded(text) or text for text in texts], dtype=np.object_)
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        triples = CountVectorizer(analyzer="char_wb", ngram_range=(3, 3), binary=True, lowercase=False)
        present = triples.fit_transform(plain[members]).astype(np.float32)
        sizes = np.asarray(present.sum(axis=1)).ravel()
        for start in range(0, len(members), _ROWS_AT_ONCE):
            shared = (present[start : start + _ROWS_AT_ONCE] @ present.T).tocoo()
            rows = shared.row + start
            close = shared.data >= alike * (sizes[rows] + sizes[shared.col] - shared.data) - _ROUNDING
            firsts.append(members[rows[close]])
            seconds.append(members[shared.col[close]])
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    graph = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(len(texts), len(texts)))
    return [int(group) for group in connected_components(graph, directed=False)[1]]


def joined_groups(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """The finest groups in which all stays together that is together in ``one`` or in ``other``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(one)
    ones, others = np.asarray(one) + count, np.asarray(other) + count + max(one, default=0) + 1
    samples = np.arange(count)
    edges = np.concatenate([samples, samples]), np.concatenate([ones, others])
    size = int(others.max(initial=count)) + 1
    graph = coo_array((np.ones(2 * count, np.int8), edges), shape=(size, size))
    return [int(group) for group in connected_components(graph, directed=False)[1][:count]]


def split_by_group(
    columns: Tensors, groups: Sequence[int], seed: int, source: str, names: Sequence[str] | None = None
) -> Split:
    """Holds about one fifth of every class of the column ``label`` back, in whole groups, the same for the same seed.

    Args:
        columns: by name, with the same first axis.
        groups: a number for each sample; a group is never divided.
        seed: decides which groups.
        source: what the data is, a few words.
        names: of the classes that occur, in the order of their numbers, for errors.

    Raises:
        WrongUse: where there are too few classes, or too few groups of one.
    """
    labels = columns["label"]
    classes, places = np.unique(labels, return_inverse=True)
    shown = list(names) if names is not None else [str(number) for number in classes]
    if len(classes) < 2:
        raise WrongUse(
            f"{source} holds only the class {shown[0]}" if shown else f"{source} is empty",
            "give data of two classes or more",
        )
    _, numbers = np.unique(np.asarray(groups), return_inverse=True)
    members = np.zeros((int(numbers.max()) + 1, len(classes)), dtype=np.int64)
    np.add.at(members, (numbers, places), 1)
    distinct = (members > 0).sum(axis=0)
    if distinct.min() < _LEAST_GROUPS:
        rare = int(distinct.argmin())
        raise WrongUse(
            f"{source} holds {distinct[rare]} different samples of class {shown[rare]} (near duplicates count once)",
            f"give {_LEAST_GROUPS} of each class or more",
        )
    held_out = _chosen_groups(members, seed)[numbers]
    return Split(
        {name: column[~held_out] for name, column in columns.items()},
        {name: column[held_out] for name, column in columns.items()},
        source,
    )


def _chosen_groups(members: Array, seed: int) -> Array:
    """Which groups are held back, [groups] of bool, so that no class gives more than its share.

    Args:
        members: how many samples of each class each group has, [groups, classes].
        seed: of the order in which groups are tried.
    """
    left = np.maximum(np.round(_HELD_OUT_SHARE * members.sum(axis=0)), 1).astype(np.int64)
    chosen = np.zeros(len(members), dtype=bool)
    for group in np.random.default_rng(seed).permutation(len(members)):
        if (members[group] <= left).all():
            chosen[group] = True
            left -= members[group]
    return chosen
