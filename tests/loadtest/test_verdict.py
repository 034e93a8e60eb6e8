"""The verdict: each condition that does not hold is named, and decides alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from maas_core.service_level import ServiceLevel
from maas_loadtest.histogram import Counts, sparse
from maas_loadtest.report_model import Agreement, Status, Totals, WorkerEntry
from maas_loadtest.throughput import Part
from maas_loadtest.verdict import Facts, judge

LEVEL = ServiceLevel({"p99": 20.0}, 0.001)


def totals(**changes: Any) -> Totals:
    figures = {
        "scheduled": 6000,
        "sent": 6000,
        "answered": 6000,
        "errors": 0,
        "dropped": 0,
        "delayed": 0,
        "lateness_limit_us": 10_000,
        "checked": 60,
        "wrong": 0,
        "items": 6000,
        "bytes_sent": 1,
        "bytes_received": 1,
        "offered_per_s": 100.0,
        "achieved_per_s": 100.0,
    }
    return Totals(**{**figures, **changes})


def worker(cpu_percent: float) -> WorkerEntry:
    return WorkerEntry(
        name="one",
        pid=1,
        sent=6000,
        cpu_percent=cpu_percent,
        cpu_percent_worst=cpu_percent,
        lateness_p99_us=1,
        lateness_max_us=1,
        finished=True,
    )


def latencies(*values_us: int, count: int = 6000) -> Counts:
    counts = Counts()
    for value in values_us:
        counts.add(sparse([value] * count))
    return counts


GOOD = Facts(
    is_open=True,
    is_steady=True,
    finds_knee=False,
    duration_s=60.0,
    min_duration_s=30.0,
    min_requests=None,
    max_cpu_percent=80.0,
    interrupted="",
    totals=totals(),
    workers=[worker(10)],
    parts=[Part(1.0, 0.0)] * 5,
    timed_sends=6000,
    gap_error_us=100.0,
    mean_gap_us=10_000.0,
    agreement=[Agreement(model="m", client=6000, server=6000, agree=True)],
    agreement_required=True,
    statistics_note="",
    has_knee=False,
    judged=latencies(5_000),
    judged_errors=0,
    first=Counts(),
    between=Counts(),
)


def test_a_good_run_is_valid() -> None:
    verdict = judge(GOOD, LEVEL)
    assert verdict.status == Status.VALID
    assert verdict.reasons == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"duration_s": 29.0}, "duration: wanted >= 30 s, got 29.0 s"),
        ({"judged": latencies(5_000, count=661)}, "answers for p99: wanted >= 662, got 661"),
        ({"totals": totals(answered=99, sent=99), "min_requests": 100}, "answers: wanted >= 100, got 99"),
        ({"interrupted": "interrupted"}, "end of the run: wanted as planned, got interrupted"),
        ({"workers": [worker(10), worker(80)]}, "generator CPU: wanted < 80 % of a core, got 80 %"),
        ({"totals": totals(delayed=7)}, "delayed by more than 10 ms: wanted <= 0.1%, got 0.12% (7)"),
        ({"totals": totals(dropped=1)}, "dropped: wanted 0, got 1"),
        ({"totals": totals(achieved_per_s=98.9)}, "achieved of the offered rate: wanted >= 99%, got 98.9%"),
        ({"gap_error_us": 1001.0}, "distances between sends"),
        ({"parts": [Part(1.0, 0.0)] * 4 + [Part(0.9, 0.01)]}, "throughput over time"),
        ({"parts": [Part(1.0, 0.0)]}, "throughput over time"),
        ({"totals": totals(answered=5999)}, "outcomes: wanted one for each of 6,000 requests, got 5,999"),
        (
            {"agreement": [], "statistics_note": "refused"},
            "requests counted by the server: wanted as by the client, got not told",
        ),
        (
            {"timed_sends": 600, "totals": totals(delayed=1)},
            "delayed by more than 10 ms: wanted <= 0.1%, got 0.17% (1)",
        ),
        ({"mean_gap_us": 100.0}, "distances between sends: wanted as planned to 50 µs"),
        (
            {"agreement": [Agreement(model="m", client=6000, server=5999, agree=False)]},
            "requests of m counted by the server: wanted 6,000 as by the client, got 5,999",
        ),
    ],
)
def test_a_condition_of_validity_that_does_not_hold_makes_it_invalid(change: dict[str, Any], reason: str) -> None:
    verdict = judge(replace(GOOD, **change), LEVEL)
    assert verdict.status == Status.INVALID
    assert len(verdict.reasons) == 1
    assert verdict.reasons[0].startswith(reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"judged": latencies(25_000)}, "p99: wanted <= 20 ms, got 25.007 ms"),
        ({"judged_errors": 7}, "errors: wanted <= 0.100%, got 0.117% (7 of 6,007)"),
    ],
)
def test_an_objective_that_is_missed_is_no_fault_of_the_measurement(change: dict[str, Any], reason: str) -> None:
    verdict = judge(replace(GOOD, **change), LEVEL)
    assert verdict.status == Status.SLO_FAILED
    assert verdict.reasons == (reason,)


def test_a_request_that_failed_is_slower_than_any_limit() -> None:
    level = ServiceLevel({"p99": 20.0}, 0.05)
    one_in_fifty = replace(GOOD, judged=latencies(5_000, count=5880), judged_errors=120)
    assert judge(one_in_fifty, level).reasons == ("p99: wanted <= 20 ms, got no answer",)
    one_in_two_hundred = replace(GOOD, judged=latencies(5_000, count=5970), judged_errors=30)
    assert judge(one_in_two_hundred, level).status == Status.VALID


def test_few_requests_may_lie_on_a_border() -> None:
    few = replace(GOOD, parts=[Part(1.0, 0.2)] * 4 + [Part(0.9, 0.2)])
    assert judge(few, LEVEL).status == Status.VALID


def test_requests_that_were_given_up_may_have_been_counted() -> None:
    agreement = [Agreement(model="m", client=6000, server=6005, unknown=4, agree=False)]
    assert "or up to 4 more" in judge(replace(GOOD, agreement=agreement), LEVEL).reasons[0]


def test_all_reasons_are_told() -> None:
    verdict = judge(replace(GOOD, duration_s=1.0, totals=totals(dropped=5), judged=latencies(25_000)), LEVEL)
    assert verdict.status == Status.INVALID
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["duration", "dropped", "p99"]


def test_without_an_objective_an_error_is_still_one() -> None:
    assert judge(replace(GOOD, judged_errors=1), None).status == Status.SLO_FAILED


def test_objectives_of_streams_look_at_their_own_times() -> None:
    level = ServiceLevel({"first_p99": 100.0, "between_p99": 10.0}, 0.0)
    slow = judge(replace(GOOD, first=latencies(50_000), between=latencies(20_000)), level)
    assert [reason.split(":")[0] for reason in slow.reasons] == ["between_p99"]
    few = judge(replace(GOOD, first=latencies(50_000, count=9), between=latencies(1_000)), level)
    assert few.reasons == ("answers for first_p99: wanted >= 662, got 9",)


def test_no_answer_holds_no_objective() -> None:
    verdict = judge(replace(GOOD, judged=Counts()), LEVEL)
    assert any("p99" in reason and "no answer" in reason for reason in verdict.reasons)


def test_a_closed_loop_is_not_asked_for_a_rate() -> None:
    closed = replace(GOOD, is_open=False, totals=totals(dropped=9, delayed=999, achieved_per_s=1.0))
    assert judge(closed, LEVEL).status == Status.VALID


def test_beyond_the_knee_requests_may_be_dropped() -> None:
    ramp = replace(GOOD, finds_knee=True, has_knee=True, is_steady=False, totals=totals(dropped=9, achieved_per_s=50.0))
    assert judge(ramp, LEVEL).status == Status.VALID
    assert judge(replace(ramp, has_knee=False), LEVEL).reasons == (
        "knee: wanted at least one stage that holds, got none",
    )


def test_where_several_servers_answer_their_counts_are_only_shown() -> None:
    agreement = [Agreement(model="m", client=6000, server=3000, agree=False)]
    assert judge(replace(GOOD, agreement=agreement, agreement_required=False), LEVEL).status == Status.VALID


@pytest.mark.parametrize(("status", "code"), [(Status.VALID, 0), (Status.SLO_FAILED, 1), (Status.INVALID, 4)])
def test_each_status_has_its_exit_code(status: Status, code: int) -> None:
    assert int(status.exit_code) == code
