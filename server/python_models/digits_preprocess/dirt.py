"""What of the ink on a page is no digit; needs numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ink = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_GRID = 64
"""Cells of the page's longer side when ink is sorted into pieces."""
_CRUMB = 0.04
"""A piece with less than this fraction of the ink is dirt."""
_FRAME = 0.12
"""Ink that lies wholly in this outer fraction of the page is its frame, as long as there is other ink."""
_SMALLEST = 0.03
"""The least extent of a digit's largest piece, as a fraction of the page's longer side."""


def without_dirt(ink: Ink) -> Ink:
    """The ink of one digit without crumbs and without a frame round the page.

    Args:
        ink: [height, width], 0 (ground) to 1 (ink).

    Returns:
        The same, 0 where there was dirt; all 0 where nothing of size is left.
    """
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


def _frames(pieces: npt.NDArray[np.int64], amount: Ink, amounts: npt.NDArray[np.float64]) -> Mask:
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
