"""What the checks of the load generator compare with: the arithmetic of a freeze, and when two tools agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.loadgen.agreement import Pair
from bench.loadgen.ceiling import Ceiling
from bench.loadgen.figures import Found, of_latencies
from bench.loadgen.freeze import Frozen

FOUND = Found("a tool", 100.0, 30.0, 3000, 2.0, 700.0, 970.0)


def test_the_truth_about_a_freeze_of_one_second_in_thirty() -> None:
    frozen = Frozen(FOUND, "http", 1.0)
    assert frozen.true_ms(99) == pytest.approx(700)
    assert frozen.true_ms(99.9) == pytest.approx(970)
    assert frozen.off == pytest.approx(0)


def test_the_arithmetic_is_that_of_requests_at_equal_distances() -> None:
    """Counted out: 100 requests a second for 30 s, of which those of one second wait until its end."""
    sent_s = [number / 100 for number in range(3000)]
    waits_ms = [1e3 * (11.0 - at_s) if 10.0 <= at_s < 11.0 else 1.0 for at_s in sent_s]
    counted = of_latencies("counted", waits_ms, 30.0)
    assert Frozen(counted, "http", 1.0).off < 0.02


def test_a_tool_that_hides_the_freeze_is_far_off() -> None:
    assert Frozen(replace(FOUND, p99_ms=7.0), "http", 1.0).off == pytest.approx(0.99)


@pytest.mark.parametrize(
    ("theirs", "agrees"),
    [
        (FOUND, True),
        (replace(FOUND, rate_per_s=96.0), False),
        (replace(FOUND, rate_per_s=97.5), True),
        (replace(FOUND, p50_ms=2.4), True),  # more than 5 %, but less than 0.5 ms
        (replace(FOUND, p50_ms=2.6), False),
        (replace(FOUND, p99_ms=730.0), True),  # more than 0.5 ms, but less than 5 %
        (replace(FOUND, p99_ms=760.0), False),
    ],
)
def test_two_tools_agree_within_the_bounds(theirs: Found, agrees: bool) -> None:
    assert Pair("a load", tiny=False, ours=[FOUND], theirs=[theirs]).agrees is agrees


def test_one_disturbed_round_of_three_decides_nothing() -> None:
    disturbed = replace(FOUND, p99_ms=5000.0)
    assert Pair("a load", tiny=False, ours=[FOUND, disturbed, FOUND], theirs=[FOUND] * 3).agrees


def test_a_ceiling_is_told_for_a_whole_core() -> None:
    half_busy = replace(FOUND, rate_per_s=1500.0, cpu_percent=50.0)
    assert Ceiling("http", half_busy, 0).by_cpu_per_s == pytest.approx(3000)
