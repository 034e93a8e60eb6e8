"""Histograms: what is merged over workers is what one of them would have seen; percentiles say what supports them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from maas_loadtest.early_stopping import samples_needed
from maas_loadtest.histogram import (
    HIGHEST_US,
    Counts,
    bucket_ms,
    decode,
    latency_of,
    new_histogram,
    sparse,
)

PERCENTS = (1, 50, 90, 99, 99.9, 99.99, 100)


def values(count: int = 5000) -> np.ndarray:
    return np.random.default_rng(1).lognormal(8, 2, count).astype(np.int64)


def counted(*parts: np.ndarray) -> Counts:
    counts = Counts()
    for part in parts:
        counts.add(sparse(part))
    return counts


def test_it_is_the_histogram_that_hdrhistogram_makes_of_the_same_values() -> None:
    reference = new_histogram()
    for value in values().tolist():
        reference.record_value(value)
    assert counted(values()).histogram().equals(reference)


def test_parts_of_workers_add_up_to_the_whole() -> None:
    assert counted(values()[:100], values()[100:]).encode() == counted(values()).encode()


@pytest.mark.parametrize("percent", PERCENTS)
@pytest.mark.parametrize("count", [1, 3, 150, 1000, 4999])
def test_percentiles_are_the_exact_ones_to_three_digits(percent: float, count: int) -> None:
    exact = np.sort(values(count))[math.ceil(Fraction(str(percent)) * count / 100) - 1]
    assert counted(values(count)).percentile(percent) == new_histogram().get_highest_equivalent_value(int(exact))


def test_a_limit_that_a_percentile_keeps_is_kept_by_so_many() -> None:
    """Of 150 answers two are slow: 98.67 % are not, so that p99 is a slow one."""
    slow = new_histogram().get_highest_equivalent_value(9000)
    assert counted(np.array([1000] * 148 + [9000] * 2)).percentile(99) == slow


def test_locust_rounds_to_the_same_values() -> None:
    for latency_us in values(200).tolist():
        assert bucket_ms(latency_us / 1000) * 1000 == pytest.approx(counted(np.array([latency_us])).percentile(100))


def test_a_report_holds_a_histogram_that_others_can_read() -> None:
    latency = latency_of(counted(values()))
    assert decode(latency.histogram).get_value_at_percentile(99) == latency.percentiles[4].latency_us


def test_values_out_of_range_are_not_lost() -> None:
    counts = counted(np.array([-5, 0, 10 * HIGHEST_US]))
    assert counts.total == 3
    assert counts.percentile(100) == pytest.approx(HIGHEST_US, rel=1e-3)


def test_nothing_has_no_percentile() -> None:
    assert Counts().percentile(99) is None
    assert latency_of(Counts()).percentiles[0].latency_us is None


@pytest.mark.parametrize(("percent", "needed"), [(90, 64), (99, 662), (99.9, 6636)])
def test_a_claim_needs_as_many_answers_as_loadgens_table_says(percent: float, needed: int) -> None:
    assert samples_needed(percent) == needed


def test_a_percentile_is_supported_only_by_enough_answers() -> None:
    supported = {one.percent: one.supported for one in latency_of(counted(values(700))).percentiles}
    assert supported[99.0]
    assert not supported[99.9]
