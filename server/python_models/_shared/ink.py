"""From a grey page to the ink on it; needs numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]

_SAMPLES = 128
"""How many positions of the page's longer side are looked at to find the ground."""
_CELL = 4
"""Positions of a cell, each way; the median of a cell forgets thin strokes."""
_FITS = 4
_DEVIATIONS = 1.4826
"""Standard deviations in a median absolute deviation of normal noise."""
_NOISY = 2.0
"""Standard deviation of the noise from which a page is smoothed, grey levels."""
_SIGNIFICANT = 6.0
"""How many standard deviations of the noise ink must differ from its ground."""
_FAINTEST = 14.0
"""How many grey levels ink must differ from its ground at least; compression alone makes about half of it."""
_TRACE = 0.25
"""Fainter than this fraction of the full ink are blurred edges and the artefacts of compression."""


def ink_on(page: Grey) -> Grey:
    """How much ink lies on each place of a page, whether dark on light or light on dark.

    The ground is a smooth surface fitted to the page, so it may be lit unevenly. Ink is what differs from it by more
    than the noise, on the side (darker or lighter) where there is more of it.

    Args:
        page: [height, width], 0 (black) to 255 (white).

    Returns:
        [height, width], 0 (ground) to 1 (ink); all 0 on a blank page.
    """
    difference, noise = _off_ground(page)
    if noise > _NOISY:
        difference, noise = _smoothed(difference), noise / 3
    threshold = max(_SIGNIFICANT * noise, _FAINTEST)
    inked = difference[np.abs(difference) > threshold]
    if inked.size == 0:
        return np.zeros_like(page)
    if np.dot(inked, np.abs(inked)) < 0:
        difference, inked = -difference, -inked
    full = _at_rank(inked[inked > 0], 0.8)
    ink = np.clip(difference / np.float32(full), 0, 1)
    ink[ink < max(_TRACE, 0.5 * threshold / full)] = 0
    return np.asarray(ink)


def _off_ground(page: Grey) -> tuple[Grey, float]:
    """The page less its ground, and the standard deviation of its noise, both in grey levels."""
    step = -(-max(page.shape) // _SAMPLES)
    sample = page[step // 2 :: step, step // 2 :: step]
    rows, columns = (max(1, side // _CELL) for side in sample.shape)
    high, wide = (min(side, _CELL) for side in sample.shape)
    cells = sample[: rows * high, : columns * wide].reshape(rows, high, columns, wide).swapaxes(1, 2)
    levels = _median_of_each(cells.reshape(rows * columns, high * wide))
    y = np.linspace(-1, 1, rows + 1, dtype=np.float32)[1:] - 1 / rows
    x = np.linspace(-1, 1, columns + 1, dtype=np.float32)[1:] - 1 / columns
    terms = _terms(np.repeat(y, columns), np.tile(x, rows))
    weights = _fit_ground(terms, levels)
    ground = _surface(weights, page.shape)
    difference = page - ground
    noise = _DEVIATIONS * _median(np.abs(difference[step // 2 :: step, step // 2 :: step]))
    return difference, noise


def _terms(y: Grey, x: Grey) -> Grey:
    """The terms of a surface of second degree, [positions, 6]."""
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)


def _fit_ground(terms: Grey, levels: Grey) -> Grey:
    """A surface of second degree through most cells: those far from it (ink, frames) stop counting, fit by fit."""
    weights = np.zeros(terms.shape[1], dtype=np.float32)
    weights[0] = _median(levels)
    counted = 0
    for _ in range(_FITS):
        spread = np.abs(levels - terms @ weights)
        near = spread <= max(3.0, 2.5 * _DEVIATIONS * _median(spread))
        used = terms[near]
        if len(used) == counted or len(used) < 4 * terms.shape[1]:
            break
        counted = len(used)
        # The normal equations are 6 by 6, and singular on pages one cell wide: hence least squares on them.
        weights = np.linalg.lstsq(used.T @ used, used.T @ levels[near], rcond=1e-6)[0].astype(np.float32)
    return weights


def _at_rank(values: Grey, fraction: float) -> float:
    """The value that ``fraction`` of the values lie below; ``np.quantile`` costs several times the sorting here."""
    rank = int(fraction * values.size)
    return float(np.partition(values, rank, axis=None)[rank])


def _median(values: Grey) -> float:
    return _at_rank(values, 0.5)


def _median_of_each(rows: Grey) -> Grey:
    middle = rows.shape[1] // 2
    return np.partition(rows, middle, axis=1)[:, middle]


def _surface(weights: Grey, shape: tuple[int, ...]) -> Grey:
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    w = [np.float32(weight) for weight in weights]
    return np.asarray((w[0] + w[1] * x + w[3] * x * x) + (w[2] * y + w[4] * y * y) + (w[5] * y) * x)


def _smoothed(page: Grey) -> Grey:
    """The mean over 3 × 3 neighbours."""
    padded = np.pad(page, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9)
