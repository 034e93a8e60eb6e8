"""The arithmetic of the benchmark: the limit, the medians, the verdicts, the slope of slow answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.goals import Goal, goals
from bench.load_programs.result import Load
from bench.load_programs.wrk import slope
from bench.records import Cell, Compute, Records, Start, limit
from bench.table import report


def records(*rates: tuple[str, int, float]) -> Records:
    """Three rounds of the tiny model over HTTP; the middle round has the given rates, the others half and double."""
    made = Records({"cores": 2})
    for peer, callers, rate in rates:
        for number, factor in enumerate((0.5, 1.0, 2.0), 1):
            made.cells.append(
                Cell(
                    number,
                    "digits_cnn",
                    peer,
                    "HTTP",
                    callers,
                    Load(rate * factor, 1.0, 2.5, 0),
                    0.0,
                    (9.0, 9.0, 9.0),
                    1,
                )
            )
    made.compute.append(Compute(1, "digits_cnn", 2, 1, 8, 19_400.0, 100.0, 0.0))
    return made


def verdict(found: list[Goal], beginning: str) -> tuple[object, bool | None]:
    goal = next(one for one in found if one.what.startswith(beginning))
    return goal.value, goal.reached


def test_the_limit_adds_the_costs_of_server_and_computation() -> None:
    assert limit(16_600, 19_400) == pytest.approx(8_945, abs=1)
    assert limit(10.0, 10.0) == 5.0


def test_goals_are_ratios_of_the_medians_of_all_rounds() -> None:
    found = goals(records(("embedded Triton", 64, 6_800.0), ("no-op, C", 64, 16_600.0), ("FastAPI", 64, 6_000.0)))
    assert verdict(found, "tiny, 64 callers, HTTP: share of the limit") == (pytest.approx(0.760, abs=1e-3), True)
    assert verdict(found, "tiny, 64 callers, HTTP: times FastAPI") == (pytest.approx(1.133, abs=1e-3), False)


def test_processor_time_gives_the_same_ratio_however_much_others_disturb_the_rates() -> None:
    made = records(("embedded Triton", 64, 6_800.0), ("no-op, C", 64, 1.0))
    goal = next(one for one in goals(made) if one.what.startswith("tiny, 64 callers, HTTP: share of the limit"))
    # 27 µs of a request through either server, and 100 µs of a row in process.
    assert goal.by_cpu == pytest.approx((27 + 100) / 27)
    assert goal.value != goal.by_cpu


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    found = goals(records(("embedded Triton", 64, 6_800.0)))
    assert verdict(found, "tiny, 64 callers, HTTP: times LitServe") == (None, None)
    assert "not measured" in report(records(("embedded Triton", 64, 6_800.0)), found)


def test_a_tail_goal_takes_the_ratio_within_each_round() -> None:
    assert verdict(goals(records(("embedded Triton", 16, 5_000.0))), "tiny, 16 callers") == (2.5, True)


def test_copies_of_the_weights_are_what_the_large_model_holds_beyond_the_tiny_one() -> None:
    made = Records({"cores": 2}, weights_bytes={"encoder": 400, "digits_cnn": 0})
    made.starts = [
        Start(1, name, "embedded Triton", 1.0, [("stub", size), ("server", 9)])
        for name, size in (("encoder", 900), ("digits_cnn", 60))
    ]
    assert verdict(goals(made), "large: copies") == (2.1, False)


def test_the_rate_of_slow_answers_does_not_depend_on_how_many_come_at_once() -> None:
    in_bursts = [float(second) for second in range(10) for _ in range(8)]
    assert slope(in_bursts) == pytest.approx(8.0, rel=0.02)
    assert slope([1.0, 2.0]) is None


def test_a_figure_that_others_disturbed_is_no_verdict() -> None:
    made = records(("embedded Triton", 64, 6_800.0), ("FastAPI", 64, 1_000.0))
    made.cells = [replace(cell, others=0.6) if cell.peer == "FastAPI" else cell for cell in made.cells]
    found = goals(made)
    assert verdict(found, "tiny, 64 callers, HTTP: times FastAPI") == (6.8, None)
    assert "not valid: others took 60%" in report(made, found)
