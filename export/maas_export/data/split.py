"""Data in two parts: what training sees, and what it never sees."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors

_HELD_OUT_SHARE = 0.2
_LEAST_OF_A_CLASS = 5


@dataclass(frozen=True)
class Split:
    """Columns by name, as the data has them; within a part all have the same first axis.

    Attributes:
        train: what training may see.
        test: what it never sees.
        source: what the data is and where it comes from, in a few words.
        classes: the names of all classes in the order of their numbers, where the data names them itself; a class may
            be without a sample.
    """

    train: Tensors
    test: Tensors
    source: str
    classes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over both parts, in hex."""
        joined = hashlib.sha256()
        for part in (self.train, self.test):
            for name, column in sorted(part.items()):
                joined.update(repr((name, column.shape, column.dtype.str)).encode())
                joined.update(_bytes_of(column))
        return joined.hexdigest()

    def share(self, fraction: float, seed: int) -> Split:
        """The same data with ``fraction`` of the training part, chosen by ``seed``; all classes stay, held-out too."""
        if fraction >= 1:
            return self
        count = samples_in(self.train)
        order = np.random.default_rng(seed).permutation(count)
        kept = order[: max(int(count * fraction), 1)]
        label = self.train.get("label")
        if label is not None:
            _, first = np.unique(label, return_index=True)
            kept = np.union1d(kept, first)
        kept = np.sort(kept)
        train = {name: column[kept] for name, column in self.train.items()}
        return replace(self, train=train, source=f"{self.source}, {fraction:.0%} of it")


def samples_in(part: Mapping[str, Array]) -> int:
    """How many samples the columns of ``part`` hold."""
    return len(next(iter(part.values())))


def stratified(columns: Tensors, seed: int, source: str, *, by: str = "label") -> Split:
    """Holds one fifth of every class of the column ``by`` back, the same samples for the same seed.

    Raises:
        WrongUse: where there are too few classes or samples for that.
    """
    from sklearn.model_selection import train_test_split

    labels = columns[by]
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise WrongUse(
            f"{source} holds only the class {classes[0]}" if len(classes) else f"{source} is empty",
            "give data of two classes or more",
        )
    if counts.min() < _LEAST_OF_A_CLASS:
        rare = classes[counts.argmin()]
        raise WrongUse(
            f"{source} holds class {rare} only {counts.min()} times",
            f"give {_LEAST_OF_A_CLASS} samples of each class or more",
        )
    train, test = train_test_split(
        np.arange(len(labels)), test_size=_HELD_OUT_SHARE, stratify=labels, random_state=seed
    )
    return Split(
        {name: column[train] for name, column in columns.items()},
        {name: column[test] for name, column in columns.items()},
        source,
    )


def _bytes_of(column: Array) -> bytes:
    if column.dtype == np.object_:
        return repr(column.tolist()).encode()
    return np.ascontiguousarray(column).tobytes()
