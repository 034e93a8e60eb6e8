"""What a forecast of shares is worth: its error, how often its band holds, and what simpler methods reach."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from maas_core.golden import Array

Method = Callable[[Array, Array, int], Array]
"""Years [n] and shares [n] that are known, and a number of years ahead -> the shares of the years after the last one.
Years count from the first; the last one may be missing, then the forecast begins behind ``years[-1]`` all the same."""


@dataclass(frozen=True)
class Asked:
    """Forecasts that are judged: after the year ``origin`` of curve ``row``, what came in the years behind it.

    Attributes:
        row: [forecasts].
        origin: [forecasts], counted from 0.
        share: what came, [forecasts, horizon].
        known: whether that is known, [forecasts, horizon].
    """

    row: Array
    origin: Array
    share: Array
    known: Array


def asked_of(share: Array, known: Array, *, least_history: int, every: int, horizon: int) -> Asked:
    """Every ``every``-th year of each curve that has ``least_history`` years behind it and a known one before it."""
    count, years = share.shape
    rows, origins = np.meshgrid(np.arange(count), np.arange(least_history - 1, years - 1, every), indexing="ij")
    row, origin = rows.reshape(-1), origins.reshape(-1)
    place = origin[:, None] + 1 + np.arange(horizon)
    inside = place < years
    place = np.minimum(place, years - 1)
    comes, counts = share[row[:, None], place], known[row[:, None], place] & inside
    # Where nothing follows there is nothing to judge, and from one share nothing can be told.
    is_asked = counts.any(axis=1) & (np.cumsum(known, axis=1)[row, origin] >= 2)
    return Asked(row[is_asked], origin[is_asked], comes[is_asked], counts[is_asked])


def scores(forecast: Array, asked: Asked) -> dict[str, float]:
    """Mean absolute error of the medians, and the share of what came that lay in the band.

    Args:
        forecast: quantiles (lower, median, upper) [forecasts, horizon, 3].
        asked: what is judged.
    """
    inside = (asked.share >= forecast[..., 0]) & (asked.share <= forecast[..., 2])
    return {
        "MAE": mean_absolute_error(forecast[..., 1], asked),
        "coverage of the 10-90 % band": float(inside[asked.known].mean()),
    }


def mean_absolute_error(median: Array, asked: Asked) -> float:
    """In shares: 0.01 is one point in a hundred; ``median`` is [forecasts, horizon]."""
    return float(np.abs(median - asked.share)[asked.known].mean())


def simpler_methods(share: Array, known: Array, asked: Asked) -> dict[str, float]:
    """The mean absolute error of methods without a network, each of which sees the same history, by name."""
    return {name: _error_of(method, share, known, asked) for name, method in METHODS.items()}


def _error_of(method: Method, share: Array, known: Array, asked: Asked) -> float:
    horizon = asked.share.shape[1]
    median = np.empty(asked.share.shape)
    for number, (row, origin) in enumerate(zip(asked.row, asked.origin, strict=True)):
        years = np.flatnonzero(known[row, : origin + 1])
        behind = int(origin - years[-1])
        median[number] = method(years, share[row, years].astype(np.float64), behind + horizon)[behind:]
    return mean_absolute_error(np.clip(median, 0, 1), asked)


def same_as_last(years: Array, share: Array, ahead: int) -> Array:
    """The last share, for ever."""
    return np.full(ahead, share[-1])


def drift(years: Array, share: Array, ahead: int) -> Array:
    """On along the line from the first share to the last."""
    slope = (share[-1] - share[0]) / (years[-1] - years[0])
    future: Array = share[-1] + slope * np.arange(1, ahead + 1)
    return future


def fitted_logistic(years: Array, share: Array, ahead: int) -> Array:
    """On along the logistic curve (ceiling at most 1) that fits the history best; the last share where none fits."""
    from scipy.optimize import OptimizeWarning, curve_fit

    if len(share) < _LEAST_TO_FIT:
        return same_as_last(years, share, ahead)
    fits = []
    for ceiling_odds, log_rate, later in _BEGINNINGS:
        # The estimate of the errors, of which it may warn, is not used; one beginning may fail where another does not.
        with warnings.catch_warnings(), contextlib.suppress(RuntimeError):
            warnings.simplefilter("ignore", OptimizeWarning)
            fits.append(
                curve_fit(_logistic, years, share, p0=(ceiling_odds, log_rate, years[-1] + later), maxfev=400)[0]
            )
    if not fits:
        return same_as_last(years, share, ahead)
    best = min(fits, key=lambda fit: float(np.sum((_logistic(years, *fit) - share) ** 2)))
    future: Array = years[-1] + np.arange(1, ahead + 1)
    return _logistic(future, *best)


def _logistic(year: Array, ceiling_odds: float, log_rate: float, middle: float) -> Array:
    """``ceiling_odds`` are the log-odds of the ceiling, so that every number is a possible one."""
    from scipy.special import expit

    value: Array = expit(ceiling_odds) * expit(np.exp(np.clip(log_rate, -20, 5)) * (year - middle))
    return value


_BEGINNINGS = ((0.0, -1.0, 0.0), (1.5, -2.0, 10.0), (0.0, -1.0, -8.0))
"""Where the search for a logistic curve begins: log-odds of the ceiling, logarithm of the rate, and the middle in years
after the last one."""

_LEAST_TO_FIT = 3
"""The curve has three parameters, which fewer shares do not decide."""

METHODS: Mapping[str, Method] = {
    "same as last year": same_as_last,
    "drift": drift,
    "fitted logistic curve": fitted_logistic,
}
