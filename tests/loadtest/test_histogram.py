"""Histograms: what is merged over workers is what one of them would have seen; percentiles say what supports them."""

from __future__ import annotations

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
    percentile,
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
def test_percentiles_are_hdrhistograms_own(percent: float) -> None:
    counts = counted(values())
    assert counts.percentile(percent) == percentile(counts.histogram(), percent)


@pytest.mark.parametrize("percent", [50, 75, 99])
def test_percentiles_have_three_digits(percent: float) -> None:
    exact = np.percentile(values(), percent, method="inverted_cdf")
    assert counted(values()).percentile(percent) == pytest.approx(exact, rel=1e-3)


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
