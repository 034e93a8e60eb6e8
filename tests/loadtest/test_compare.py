"""``maas load compare``: better, same, worse or unclear, and the gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from maas_loadtest.compare import Comparison, compare
from maas_loadtest.compare_cli import compare as compare_command
from maas_loadtest.report_model import LoadReport, Status
from tests.loadtest.commands import Ended, run, written
from tests.loadtest.html_text import Page
from tests.loadtest.made_reports import Made

BASE = Made(seed=1)


def against(made: Made, *options: str | Path, folder: Path, base: Made = BASE) -> Ended:
    sides = [written(one.report(), folder / name) for name, one in (("a", base), ("b", made))]
    return run(compare_command, *sides, "--html", folder / "compare.html", *options)


def outcomes(ended: Ended) -> dict[str, str]:
    return {change["name"]: change["outcome"] for change in ended.document["changes"]}


def test_the_same_load_again_is_not_worse(tmp_path: Path) -> None:
    ended = against(Made(seed=2), "--gate", "--json", folder=tmp_path)
    assert ended.code == 0
    assert outcomes(ended)["p50"] == outcomes(ended)["p99"] == outcomes(ended)["throughput"] == "same"


def test_a_slower_candidate_fails_the_gate_with_figures_and_interval(tmp_path: Path) -> None:
    ended = against(Made(seed=2, scale=1.2), "--gate", folder=tmp_path)
    assert ended.code == 1
    assert "p99 went from 8.09 ms to 9.54 ms" in ended.error
    assert "95 % interval" in ended.error
    assert "WORSE" in ended.out


def test_without_a_gate_a_slower_candidate_is_told_and_nothing_fails(tmp_path: Path) -> None:
    ended = against(Made(seed=2, scale=1.2), folder=tmp_path)
    assert ended.code == 0
    assert "WORSE" in ended.out


def test_a_faster_candidate_is_better(tmp_path: Path) -> None:
    ended = against(Made(seed=2, scale=0.8), "--gate", "--json", folder=tmp_path)
    assert ended.code == 0
    assert outcomes(ended)["p50"] == outcomes(ended)["p99"] == "better"


def test_lost_requests_are_a_regression(tmp_path: Path) -> None:
    ended = against(Made(seed=2, errors_each=1, dropped_each=1), "--gate", folder=tmp_path)
    assert ended.code == 1
    # 2 of 202 requests of each window.
    assert "lost went from 0 % to 0.99 %: +0.99 points" in ended.error


def test_less_throughput_is_a_regression(tmp_path: Path) -> None:
    ended = against(Made(seed=2, per_window=150), "--gate", folder=tmp_path)
    assert ended.code == 1
    assert "answered per second went from 200 to 150: -25.0 %" in ended.error


def test_the_tolerance_is_the_users(tmp_path: Path) -> None:
    ended = against(Made(seed=2, scale=1.1), "--gate", "--tolerance", "30", folder=tmp_path)
    assert ended.code == 0


def test_the_gate_looks_only_at_the_figures_named(tmp_path: Path) -> None:
    assert against(Made(seed=2, scale=1.2), "--gate", "--figures", "throughput", folder=tmp_path).code == 0
    ended = against(Made(seed=2, scale=1.2), "--gate", "--figures", "p98", folder=tmp_path)
    assert ended.code == 2
    assert "'p98' is none; there are p50" in ended.error


def test_a_loss_that_is_not_ruled_out_is_unclear_and_fails_a_strict_gate_only(tmp_path: Path) -> None:
    base = Made(seed=1, windows=12, per_window=60, spread=1.0)
    made = replace(base, seed=2)
    ended = against(made, "--gate", folder=tmp_path, base=base)
    assert ended.code == 0
    assert "UNCLEAR" in ended.out
    strict = against(made, "--gate", "--strict", folder=tmp_path, base=base)
    assert strict.code == 4
    assert "measure longer" in strict.error


def test_too_few_answers_for_a_percentile_are_said(tmp_path: Path) -> None:
    ended = against(Made(seed=2, windows=12, per_window=50), "--json", folder=tmp_path)
    notes = {change["name"]: change["note"] for change in ended.document["changes"]}
    assert notes["p99"] == "600 answers carry no p99, 662 are needed"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Made(rate_per_s=400.0), "rate differs: 200/s and 400/s"),
        (Made(scenario="steady"), "scenario differs: server and steady"),
        (Made(model="digits"), "models and batch sizes differs: digits_cnn"),
        (Made(status=Status.INVALID, reasons=("dropped: wanted 0, got 3",)), "INVALID: dropped: wanted 0, got 3"),
    ],
)
def test_what_cannot_be_compared_is_no_result(other: Made, words: str, tmp_path: Path) -> None:
    ended = against(other, "--gate", folder=tmp_path)
    assert ended.code == 4
    assert words in ended.error
    assert "NOT COMPARABLE" in Page((tmp_path / "compare.html").read_text()).text


def test_runs_of_different_loads_are_no_side(tmp_path: Path) -> None:
    """A folder of a peak search holds one load test for each rate."""
    for number, rate in enumerate((200.0, 400.0)):
        written(Made(seed=number, rate_per_s=rate).report(), tmp_path / "probes" / str(number))
    base = written(BASE.report(), tmp_path / "base")
    ended = run(compare_command, base, tmp_path / "probes", "--html", tmp_path / "c.html", "--gate")
    assert ended.code == 4
    assert "rate differs: 200/s and 200/s or 400/s" in ended.error


def test_what_differs_in_a_later_run_only_is_noted(tmp_path: Path) -> None:
    machines = ("One, 2 cores", "Another, 4 cores")
    for number, machine in enumerate(machines):
        written(Made(seed=number, machine=machine).report(), tmp_path / "runs" / str(number))
    base = written(Made(machine=machines[0]).report(), tmp_path / "base")
    ended = run(compare_command, base, tmp_path / "runs", "--html", tmp_path / "c.html", "--json")
    (found,) = (one for one in ended.document["differences"] if one["what"] == "machine")
    assert found["candidate"] == "One, 2 cores or Another, 4 cores"


def test_a_gate_that_can_tell_nothing_is_not_passed(tmp_path: Path) -> None:
    short = replace(BASE, windows=4)
    ended = against(replace(short, seed=2), "--gate", folder=tmp_path, base=short)
    assert ended.code == 4
    assert "measure longer" in ended.error


def test_several_runs_are_not_stored_as_one(tmp_path: Path) -> None:
    for number in range(2):
        written(Made(seed=number).report(), tmp_path / "runs" / str(number))
    base = written(BASE.report(), tmp_path / "base")
    ended = run(compare_command, base, tmp_path / "runs", "--store", tmp_path / "kept.json")
    assert ended.code == 2
    assert "--store keeps one report" in ended.error
    assert not (tmp_path / "kept.json").exists()


def test_another_machine_is_noted_and_compared(tmp_path: Path) -> None:
    ended = against(Made(seed=2, machine="Another, 4 cores"), "--gate", folder=tmp_path)
    assert ended.code == 0
    assert "Another, 4 cores noted" in Page((tmp_path / "compare.html").read_text()).text


def test_several_runs_of_one_side_widen_the_interval(tmp_path: Path) -> None:
    """Runs that differ among themselves say less about a difference between sides than one run alone does."""

    def width(found: Comparison) -> float:
        change = next(change for change in found.changes if change.name == "p50").change
        return change.high - change.low

    def differ(scales: tuple[float, ...], seed: int) -> list[LoadReport]:
        return [Made(seed=seed + number, scale=scale).report() for number, scale in enumerate(scales)]

    one = compare(differ((1.0,), 1), differ((1.0,), 50), tolerance=0.05, lost_tolerance=0.001)
    several = compare(differ((0.9, 1.0, 1.1), 1), differ((0.9, 1.0, 1.1), 50), tolerance=0.05, lost_tolerance=0.001)
    assert width(several) > 2 * width(one)


def test_a_folder_of_runs_is_read_as_one_side(tmp_path: Path) -> None:
    for number in range(3):
        written(Made(seed=10 + number).report(), tmp_path / "runs" / str(number))
        written(Made(seed=20 + number, scale=1.3).report(), tmp_path / "more" / str(number))
    ended = run(compare_command, tmp_path / "runs", tmp_path / "more", "--html", tmp_path / "c.html", "--gate")
    assert ended.code == 1
    assert "and 2 more" in Page((tmp_path / "c.html").read_text()).text


def test_a_candidate_that_is_not_worse_becomes_the_next_baseline(tmp_path: Path) -> None:
    baseline = tmp_path / "baselines" / "server.json"
    assert against(Made(seed=2, scale=1.3), "--gate", "--store", baseline, folder=tmp_path).code == 1
    assert not baseline.exists()
    assert against(Made(seed=3), "--gate", "--store", baseline, folder=tmp_path).code == 0
    assert LoadReport.model_validate_json(baseline.read_text()).seed == 3
    again = run(compare_command, baseline, tmp_path / "b", "--gate", "--html", tmp_path / "c.html")
    assert again.code == 0


def test_the_page_shows_both_sides(tmp_path: Path) -> None:
    against(Made(seed=2, scale=1.2), folder=tmp_path)
    page = Page((tmp_path / "compare.html").read_text())
    assert page.text.index("WORSE") < page.text.index("What changed")
    assert "p99 worse 8.09 ms 9.54 ms" in page.text
    assert {"baseline", "candidate"} <= set(page.text.split())
    assert not page.fetched
    assert {chart.get("aria-label") for chart in page.charts} >= {"Percentiles", "Response time over time"}


def test_the_same_seed_gives_the_same_intervals(tmp_path: Path) -> None:
    first, second = (against(Made(seed=2), "--json", folder=tmp_path).document for _ in range(2))
    other = against(Made(seed=2), "--json", "--seed", "8", folder=tmp_path).document
    assert first == second
    assert first["changes"] != other["changes"]


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_claim() -> None:
    """Two runs of the very same load: the interval of the change of the median holds 0 in about 95 of 100 cases."""
    holds = 0
    for number in range(100):
        sides = [[Made(seed=base + number).report()] for base in (1000, 5000)]
        found = compare(*sides, tolerance=0.05, lost_tolerance=0.001, resamples=400)
        change = next(change for change in found.changes if change.name == "p50").change
        holds += change.low <= 0 <= change.high
    # 95 or more of 100 fall below 86 with a probability of 0.0003.
    assert holds >= 86


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b"\xff\xfe"])
def test_what_is_no_report_is_named(content: bytes, tmp_path: Path) -> None:
    good = written(BASE.report(), tmp_path / "a")
    bad = tmp_path / "b.json"
    bad.write_bytes(content)
    ended = run(compare_command, good, bad)
    assert ended.code == 2
    assert str(bad) in ended.error
    assert len(ended.error.strip().splitlines()) == 1


def test_a_report_that_is_not_there_is_named(tmp_path: Path) -> None:
    good = written(BASE.report(), tmp_path / "a")
    ended = run(compare_command, good, tmp_path / "nothing")
    assert ended.code == 2
    assert "nothing cannot be read: No such file or directory" in ended.error
    (tmp_path / "empty").mkdir()
    ended = run(compare_command, good, tmp_path / "empty")
    assert ended.code == 2
    assert "empty holds no report" in ended.error


def test_json_is_json_even_where_nothing_is_known(tmp_path: Path) -> None:
    ended = against(Made(seed=2, windows=1), "--json", folder=tmp_path)
    document = json.loads(ended.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert document["changes"][0]["outcome"] == "unclear"
