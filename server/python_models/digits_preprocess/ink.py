"""From a grey page to the ink on it; needs numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

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
_GRID = 64
"""Cells of the page's longer side when ink is sorted into pieces."""
_CRUMB = 0.04
"""A piece with less than this fraction of the ink is dirt."""
_FRAME = 0.12
"""Ink that lies wholly in this outer fraction of the page is its frame, as long as there is other ink."""
_SMALLEST = 0.03
"""The least extent of a digit's largest piece, as a fraction of the page's longer side."""


def find_ink(page: Grey) -> Grey:
    """How much ink lies on each place of a page, whether dark on light or light on dark.

    The ground is a smooth surface fitted to the page, so it may be lit unevenly. Ink is what differs from it by more
    than the noise, on the side (darker or lighter) where there is more of it; dirt and a frame are left out.

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
    return _without_dirt(ink)


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


def _without_dirt(ink: Grey) -> Grey:
    """The ink without crumbs and without a frame round the page."""
    size = -(-max(ink.shape) // _GRID)
    amount = np.add.reduceat(np.add.reduceat(ink, range(0, ink.shape[0], size), 0), range(0, ink.shape[1], size), 1)
    pieces = _pieces(amount > 0.5)
    count = int(pieces.max())
    if count == 0:
        return np.zeros_like(ink)
    keep = np.zeros(count + 1, dtype=bool)
    amounts = np.asarray(np.bincount(pieces.ravel(), amount.ravel(), count + 1)[1:], dtype=np.float64)
    keep[1:] = ~_frames(pieces, amount, amounts)
    keep[1:] &= amounts >= _CRUMB * amounts[keep[1:]].sum()
    main = int(np.argmax(amounts * keep[1:])) + 1
    piece_of = np.repeat(np.repeat(pieces, size, 0), size, 1)[: ink.shape[0], : ink.shape[1]]
    if _extent((piece_of == main) & (ink > 0.5)) < max(4, _SMALLEST * max(ink.shape)):
        return np.zeros_like(ink)
    return np.asarray(ink * keep[piece_of])


def _extent(mask: Mask) -> int:
    """The longer side of the box round all that is set, pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(max(np.ptp(rows), np.ptp(columns))) + 1 if rows.size else 0


def _frames(pieces: npt.NDArray[np.int64], amount: Grey, amounts: npt.NDArray[np.float64]) -> Mask:
    """Which pieces lie in the outer part of the page only; none where nothing of size would be left."""
    rows, columns = pieces.shape
    inner = amount.copy()
    top, left = round(_FRAME * rows), round(_FRAME * columns)
    inner[:top], inner[rows - top :], inner[:, :left], inner[:, columns - left :] = 0, 0, 0, 0
    inside = np.bincount(pieces.ravel(), inner.ravel(), len(amounts) + 1)[1:]
    frames = inside < 0.05 * amounts
    rest = amounts[~frames].sum()
    return frames if rest > 0.1 * amounts.sum() else np.zeros_like(frames)


def _pieces(mask: Mask) -> npt.NDArray[np.int64]:
    """Numbers the connected pieces (8 neighbours) of a small mask from 1; 0 is the ground.

    Runs of each row are joined with those they touch in the row above (Rosenfeld and Pfaltz 1966).
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row_of, starts = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    parent = list(range(len(starts)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    runs = list(zip(row_of.tolist(), starts.tolist(), ends.tolist(), strict=True))
    above = 0
    for this, (row, start, end) in enumerate(runs):
        while above < this and (runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start)):
            above += 1
        other = above
        while other < this and runs[other][0] == row - 1 and runs[other][1] <= end:
            parent[root(other)] = root(this)
            other += 1
    numbers: dict[int, int] = {}
    pieces = np.zeros(mask.shape, dtype=np.int64)
    for this, (row, start, end) in enumerate(runs):
        pieces[row, start:end] = numbers.setdefault(root(this), len(numbers) + 1)
    return pieces
