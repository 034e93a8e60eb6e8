"""Documents that repeat each other: copied modules, chapters that are part of others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_LONG_LINE = 40
"""Shorter lines are alike by chance, characters."""
_LEAST_SHARED = 2
"""One line alone may be a licence, or a heading."""
_SHARED_PART = 0.2
"""From which part of the shorter document's long lines on two documents repeat each other."""
_COMMON = 30
"""A line in more documents than this is a formula of theirs, and tells nothing."""


def repeating_groups(documents: Mapping[str, str]) -> list[list[str]]:
    """The names in groups, sorted: documents that share long lines, directly or through others, are in one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(documents)
    sizes = np.zeros(len(names), np.int64)
    holders: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        for line in _long_lines(documents[name]):
            holders.setdefault(line, []).append(number)
    pairs = [
        (holder, place)
        for place, some in enumerate(some for some in holders.values() if len(some) <= _COMMON)
        for holder in some
    ]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    np.add.at(sizes, rows, 1)
    present = coo_array((np.ones(len(pairs), np.int32), (rows, columns)), shape=(len(names), len(holders) + 1)).tocsr()
    shared = (present @ present.T).tocoo()
    shorter = np.minimum(sizes[shared.row], sizes[shared.col])
    repeats = (shared.data >= _LEAST_SHARED) & (shared.data >= _SHARED_PART * shorter)
    graph = coo_array(
        (np.ones(int(repeats.sum()), np.int8), (shared.row[repeats], shared.col[repeats])),
        shape=(len(names), len(names)),
    )
    found: dict[int, list[str]] = {}
    for name, group in zip(names, connected_components(graph, directed=False)[1].tolist(), strict=True):
        found.setdefault(group, []).append(name)
    return list(found.values())


def _long_lines(text: str) -> set[str]:
    lines = (line.strip() for line in text.splitlines())
    return {line for line in lines if len(line) >= _LONG_LINE}
