"""Confidence intervals of what two load tests differ by, by resampling their windows (Efron's bootstrap).

Neighbouring windows are alike (a queue that builds up lasts), so blocks of neighbours are drawn, not single windows
(Künsch 1989; circular, length the cube root of the number of windows). Where one side has several runs, runs are drawn
first and blocks in them second: what differs from run to run then widens the interval, as it must.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import numpy.typing as npt

from maas_loadtest.distribution import read_distribution
from maas_loadtest.histogram import rank
from maas_loadtest.report_model import LoadReport, Window
from maas_loadtest.time_line import loaded_windows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds the truth with 95 % confidence."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class _Run:
    """One run by windows.

    Attributes:
        counts: [W, V], how often each latency came.
        answered: [W], of the requests of the window.
        lost: [W], errors and dropped requests.
        offered: [W].
        length_s: [W].
    """

    counts: Floats
    answered: Floats
    lost: Floats
    offered: Floats
    length_s: Floats

    @property
    def windows(self) -> int:
        return len(self.length_s)


@dataclass(frozen=True)
class Draws:
    """Sums over windows for each resample; the first row is what was measured.

    Attributes:
        values_us: [V], rising.
        counts: [B, V].
        answered: [B].
        lost: [B].
        offered: [B].
        length_s: [B].
    """

    values_us: Ints
    counts: Floats
    answered: Floats
    lost: Floats
    offered: Floats
    length_s: Floats

    @cached_property
    def _cumulated(self) -> Floats:
        return np.cumsum(self.counts, axis=1)

    def percentile_us(self, percent: float) -> Floats:
        """[B]; not a number where nothing was answered."""
        totals = self._cumulated[:, -1]
        wanted = np.array([rank(percent, int(total)) for total in totals])
        found = self.values_us[np.argmax(self._cumulated >= wanted[:, None], axis=1)]
        return np.where(totals > 0, found, np.nan).astype(np.float64)

    def mean_us(self) -> Floats:
        """[B]; not a number where nothing was answered."""
        totals = self.counts.sum(axis=1)
        return np.divide(self.counts @ self.values_us, totals, out=np.full(len(totals), np.nan), where=totals > 0)

    def throughput_per_s(self) -> Floats:
        """[B], answers per second."""
        return self.answered / self.length_s

    def lost_share(self) -> Floats:
        """[B], errors and dropped requests of those that were offered, 0 to 1."""
        share: Floats = self.lost / np.maximum(1.0, self.offered)
        return share


Measure = Callable[[Draws], Floats]


def draw(reports: Sequence[LoadReport], values_us: Ints, *, resamples: int, seed: int) -> Draws:
    """Resamples one side of a comparison.

    Args:
        reports: one or several runs of the same load, each with at least one window.
        values_us: [V], all latencies that occur, from :func:`all_values`.
        resamples: how many; the first row of the result is the sum of all as measured.
        seed: the same one gives the same intervals.
    """
    random = np.random.default_rng(seed)
    runs = [_run(loaded_windows(report), values_us) for report in reports]
    chosen = _choose_runs(random, len(runs), resamples)
    parts = [
        np.vstack([np.ones(run.windows), _block_weights(random, run.windows, resamples)]) * times[:, None]
        for run, times in zip(runs, chosen.T, strict=True)
    ]

    def total(field: Callable[[_Run], Floats]) -> Floats:
        added: Floats = reduce(np.add, (weights @ field(run) for run, weights in zip(runs, parts, strict=True)))
        return added

    return Draws(
        values_us,
        total(lambda run: run.counts),
        total(lambda run: run.answered),
        total(lambda run: run.lost),
        total(lambda run: run.offered),
        total(lambda run: run.length_s),
    )


def all_values(reports: Sequence[LoadReport]) -> Ints:
    """All latencies that occur in any of them, rising, in microseconds."""
    parts = [read_distribution(window.response).values_us for report in reports for window in report.windows]
    values: Ints = np.unique(np.concatenate([*parts, np.array([0], np.int64)]))
    return values


def interval_of(estimates: Floats) -> Interval:
    """From the figure of each resample; the first one is what was measured."""
    known = estimates[1:][np.isfinite(estimates[1:])]
    if not len(known) or not np.isfinite(estimates[0]):
        return Interval(float("nan"), float("-inf"), float("inf"))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return Interval(float(estimates[0]), float(low), float(high))


def _run(windows: Sequence[Window], values_us: Ints) -> _Run:
    counts = np.zeros((len(windows), len(values_us)))
    for row, window in zip(counts, windows, strict=True):
        part = read_distribution(window.response)
        row[np.searchsorted(values_us, part.values_us)] = part.counts
    return _Run(
        counts,
        np.array([float(window.answered) for window in windows]),
        np.array([float(window.errors + window.dropped) for window in windows]),
        np.array([float(window.offered) for window in windows]),
        np.array([window.length_s for window in windows]),
    )


def _choose_runs(random: np.random.Generator, runs: int, resamples: int) -> Floats:
    """[B + 1, R], how often each run is taken; in the first row, each once."""
    drawn = random.multinomial(runs, np.full(runs, 1 / runs), resamples).astype(np.float64)
    return np.vstack([np.ones(runs), drawn])


def _block_weights(random: np.random.Generator, windows: int, resamples: int) -> Floats:
    """[B, W], how often each window is taken."""
    length = max(1, round(windows ** (1 / 3)))
    starts = random.integers(0, windows, (resamples, -(-windows // length)))
    taken = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :windows] % windows
    weights = np.zeros((resamples, windows))
    np.add.at(weights, (np.arange(resamples)[:, None], taken), 1.0)
    return weights
