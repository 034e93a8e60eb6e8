"""Labelled data in two parts: what training sees, and what it never sees."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from maas_core.errors import WrongUse
from maas_core.golden import Array

_HELD_OUT_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """Inputs are as the data has them; ``labels`` are class numbers.

    Attributes:
        source: what the data is and where it comes from, in a few words.
    """

    train_inputs: Array
    train_labels: Array
    test_inputs: Array
    test_labels: Array
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 over both parts, in hex."""
        joined = hashlib.sha256()
        for array in (self.train_inputs, self.train_labels, self.test_inputs, self.test_labels):
            joined.update(str((array.shape, array.dtype.str)).encode())
            joined.update(np.ascontiguousarray(array).tobytes())
        return joined.hexdigest()


def stratified(inputs: Array, labels: Array, seed: int, source: str) -> Split:
    """Holds one fifth of every class back, the same ones for the same seed.

    Raises:
        WrongUse: where there are too few classes or samples for that.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise WrongUse(
            f"{source} holds only the class {classes[0]}" if len(classes) else f"{source} is empty",
            "give data of two classes or more",
        )
    if counts.min() < 5:
        rare = classes[counts.argmin()]
        raise WrongUse(f"{source} holds class {rare} only {counts.min()} times", "give 5 samples of each class or more")
    train_inputs, test_inputs, train_labels, test_labels = train_test_split(
        inputs, labels, test_size=_HELD_OUT_SHARE, stratify=labels, random_state=seed
    )
    return Split(train_inputs, train_labels, test_inputs, test_labels, source)
