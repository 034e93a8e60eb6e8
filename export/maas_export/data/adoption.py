"""Shares of a technology, year by year: generated curves for training, one real one, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_export.data.adoption_csv import read_curves
from maas_export.data.split import Split

YEARS = 36
LEAST_HISTORY = 6
"""Years that are seen before a forecast is judged."""
_GENERATED = 8240
_GENERATED_HELD_OUT = 240
_HELD_OUT_SHARE = 0.2
_LEAST_CURVES = 5
_LEAST_KNOWN = 12
_SHARES_OF_GAPS = (0.0, 0.0, 0.1, 0.2)
IOWA = "Iowa, renewable electricity"


def built_in(seed: int) -> Split:
    """Generated curves, 240 of them held out. None of them was ever observed."""
    share = generated_curves(np.random.default_rng(seed), _GENERATED)
    known = np.ones(share.shape, np.bool_)
    return _split(share, known, seed, _GENERATED_HELD_OUT, "generated S-curves (Bass and logistic) with noise")


def from_path(path: Path, seed: int) -> Split:
    """The user's curves (see :mod:`maas_export.data.adoption_csv`), a fifth of them held out.

    Raises:
        WrongUse: naming file, line and what is wrong with it.
    """
    curves = user_curves(path)
    if len(curves) < _LEAST_CURVES:
        raise WrongUse(f"{path} holds {len(curves)} curves", f"give {_LEAST_CURVES} or more: a fifth is held out")
    columns = padded(curves)
    held_out = max(int(len(curves) * _HELD_OUT_SHARE), 1)
    return _split(columns["share"], columns["known"], seed, held_out, f"{path.name}, {len(curves)} curves")


def user_curves(path: Path) -> dict[str, Array]:
    """The curves of a CSV file, each long enough to learn from or to be judged by.

    Raises:
        WrongUse: naming file, line and what is wrong with it.
    """
    curves = read_curves(path)
    for name, values in curves.items():
        observed = int(np.sum(~np.isnan(values)))
        if observed < _LEAST_KNOWN:
            raise WrongUse(
                f"{path}: {name!r} has {observed} known shares", f"give {_LEAST_KNOWN} or more, or leave it out"
            )
    return curves


def padded(curves: Mapping[str, Array]) -> Tensors:
    """Curves of any length (NaN where missing) as columns ``share`` and ``known`` [curves, years]."""
    years = max(len(values) for values in curves.values())
    values = np.full((len(curves), years), np.nan, np.float32)
    for row, curve in enumerate(curves.values()):
        values[row, : len(curve)] = curve
    return {"share": np.nan_to_num(values, nan=0.0), "known": ~np.isnan(values)}


def augmented(train: Tensors, rng: np.random.Generator) -> Tensors:
    """The same curves, seen from a later beginning, and with gaps.

    Returns:
        ``share`` and ``known`` as the network sees them, ``target`` and ``target_known`` as it is held against, all
        [curves, years].
    """
    count, years = train["share"].shape
    later = rng.integers(0, years // 4 + 1, (count, 1))
    place = np.arange(years)[None] + later
    is_inside = place < years
    place = np.minimum(place, years - 1)
    target = np.take_along_axis(train["share"], place, 1)
    target_known = np.take_along_axis(train["known"], place, 1) & is_inside
    gaps = rng.random((count, years)) < rng.choice(_SHARES_OF_GAPS, (count, 1))
    return {"share": target, "known": target_known & ~gaps, "target": target, "target_known": target_known}


def iowa_renewables() -> tuple[Array, Array]:
    """Years [17] and the share of renewable sources in Iowa's electricity [17], 2001 to 2017: observed, not generated.

    Source: ``iowa_electricity`` of vega-datasets (U.S. Energy Information Administration).
    """
    from vega_datasets import data

    table = data.iowa_electricity()
    sums = table.pivot_table(index="year", columns="source", values="net_generation", aggfunc="sum")
    share = (sums["Renewables"] / sums.sum(axis=1)).to_numpy(np.float32)
    return np.array([year.year for year in sums.index]), share


def generated_curves(rng: np.random.Generator, count: int) -> Array:
    """Shares [count, YEARS] of technologies that never were.

    Half follow Bass (1969), half a logistic curve; their ceiling, beginning and speed differ. Growth is uneven (each
    year's by a random factor), and what is observed is off by a slow wave and by independent errors.
    """
    year = np.arange(YEARS)[None]
    is_bass = (np.arange(count) % 2 == 0)[:, None]
    course = np.where(is_bass, _bass(rng, count, year), _logistic(rng, count, year))
    unevenness = rng.uniform(0, 0.9, (count, 1))
    factors = np.exp(unevenness * rng.normal(size=(count, YEARS)) - unevenness**2 / 2)
    growth = np.diff(course, axis=1, prepend=course[:, :1]) * factors
    course = np.minimum(course[:, :1] + np.cumsum(growth, axis=1), 1.0)
    ceiling = rng.uniform(0.1, 1.0, (count, 1))
    before = np.where(rng.random((count, 1)) < 0.3, rng.uniform(0, 0.15, (count, 1)) * ceiling, 0)
    clean: Array = before + (ceiling - before) * course
    scale = 2 * np.sqrt(clean * (1 - clean)) + 0.02
    errors = rng.normal(size=(count, YEARS)) * rng.uniform(0.001, 0.02, (count, 1))
    observed: Array = np.clip(clean + scale * (errors + _wave(rng, count)), 0, 1).astype(np.float32)
    return observed


def _bass(rng: np.random.Generator, count: int, year: Array) -> Array:
    innovation = np.exp(rng.uniform(np.log(5e-4), np.log(0.03), (count, 1)))
    imitation = rng.uniform(0.1, 0.7, (count, 1))
    age = np.maximum(year - rng.uniform(-12, 8, (count, 1)), 0)
    decay = np.exp(-(innovation + imitation) * age)
    adopted: Array = (1 - decay) / (1 + imitation / innovation * decay)
    return adopted


def _logistic(rng: np.random.Generator, count: int, year: Array) -> Array:
    rate = np.exp(rng.uniform(np.log(0.08), np.log(0.9), (count, 1)))
    middle = rng.uniform(0, 40, (count, 1))
    adopted: Array = 1 / (1 + np.exp(-rate * (year - middle)))
    return adopted


def _wave(rng: np.random.Generator, count: int) -> Array:
    """A first-order autoregression [count, YEARS] of mean zero."""
    size, memory = rng.uniform(0, 0.012, count), 0.7
    wave = np.zeros((count, YEARS))
    for year in range(1, YEARS):
        wave[:, year] = memory * wave[:, year - 1] + size * rng.normal(size=count)
    return wave


def _split(share: Array, known: Array, seed: int, held_out: int, source: str) -> Split:
    order = np.random.default_rng(seed).permutation(len(share))
    parts: Sequence[Array] = (np.sort(order[held_out:]), np.sort(order[:held_out]))
    train, test = ({"share": share[rows], "known": known[rows]} for rows in parts)
    return Split(train, test, source)
