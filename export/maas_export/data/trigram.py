"""The byte trigram that a language model is measured against."""

from __future__ import annotations

import numpy as np

from maas_core.golden import Array

_BYTES = 256


class ByteTrigram:
    """P(byte | the two before it), interpolated with the bigram, the unigram and the uniform distribution.

    Each order is weighed by how many different bytes followed its context (Witten and Bell, 1991): the weights need no
    fitting, and a context that was never seen leaves all to the order below.

    Args:
        text: what it counts.
    """

    def __init__(self, text: bytes) -> None:
        codes = np.frombuffer(text, np.uint8).astype(np.int64)
        self._unigrams = np.bincount(codes, minlength=_BYTES)
        self._bigrams = np.bincount(codes[:-1] * _BYTES + codes[1:], minlength=_BYTES**2).reshape(_BYTES, _BYTES)
        triples = (codes[:-2] * _BYTES + codes[1:-1]) * _BYTES + codes[2:]
        self._trigrams = np.bincount(triples, minlength=_BYTES**3).astype(np.int32).reshape((_BYTES,) * 3)

    def bits(self, text: bytes, context: int) -> float:
        """What it costs to tell ``text`` behind its first ``context`` bytes (at least 2), in bits."""
        codes = np.frombuffer(text, np.uint8).astype(np.int64)[max(context - 2, 0) :]
        two_before, before, byte = codes[:-2], codes[1:-1], codes[2:]
        one = _interpolated(self._unigrams[byte], self._unigrams.sum(), np.count_nonzero(self._unigrams), 1 / _BYTES)
        two = _interpolated(
            self._bigrams[before, byte], self._bigrams.sum(1)[before], np.count_nonzero(self._bigrams, 1)[before], one
        )
        rows = self._trigrams[two_before, before]
        three = _interpolated(self._trigrams[two_before, before, byte], rows.sum(1), np.count_nonzero(rows, 1), two)
        return float(-np.log2(three).sum())


def _interpolated(count: Array, total: Array | int, kinds: Array | int, below: Array | float) -> Array:
    """(count + kinds · below) / (total + kinds), or ``below`` where the context was never seen."""
    seen = np.asarray(total + kinds)
    return np.where(seen > 0, (count + kinds * below) / np.maximum(seen, 1), below)
