"""The campaigns' check of answers against a journal: it must find what should not be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from maas_core.releases import Entry
from tests.campaigns.bad_versions import Trial, exposure
from tests.campaigns.callers import Answer
from tests.campaigns.serving_times import seconds, serving_times, strangers
from tests.campaigns.versions import MODEL

_PUBLISHED = {"evidence": {"versions": {MODEL: 2}}}
# What happened in which second of the rollout from version 1 to version 2.
_PAST: list[tuple[int, str, dict[str, Any]]] = [
    (5, "done", {"step": "publish", **_PUBLISHED}),
    (10, "begin", {"step": "weight-50"}),
    (20, "done", {"step": "weight-50"}),
    (30, "begin", {"step": "promote"}),
    (31, "pin", {"versions": {MODEL: 2}}),
    (33, "done", {"step": "promote"}),
    (35, "done", {"step": "return-traffic"}),
]
FACTORS = {1: 1.0, 2: 2.0}


def at(second: int) -> str:
    return f"2026-11-22T09:00:{second:02d}.000+00:00"


def entries(past: list[tuple[int, str, dict[str, Any]]]) -> list[Entry]:
    return [Entry(seq, at(second), "who", "r", kind, data) for seq, (second, kind, data) in enumerate(past, 1)]


def answer(version: int, second: int) -> Answer:
    sent_s = seconds(at(second))
    return Answer("http", sent_s, sent_s + 0.1, 100.0, version, FACTORS[version])


def found(*answers: Answer, past: list[tuple[int, str, dict[str, Any]]] = _PAST) -> int:
    return len(strangers(answers, serving_times(entries(past), 1), FACTORS))


def test_answers_of_versions_that_served_are_none() -> None:
    assert found(answer(1, 0), answer(1, 15), answer(2, 15), answer(1, 32), answer(2, 34), answer(2, 59)) == 0


def test_the_candidate_before_its_weight_is_one() -> None:
    assert found(answer(2, 8)) == 1


def test_the_old_version_after_the_promotion_is_one() -> None:
    assert found(answer(1, 34)) == 1


def test_a_candidate_that_was_taken_back_is_one() -> None:
    past = [*_PAST[:2], (12, "turn", {"to": "back", "why": ""}), (13, "done", {"step": "restore-traffic"})]
    assert found(answer(2, 12), answer(1, 14), past=past) == 0
    assert found(answer(2, 14), past=past) == 1


def test_a_wrong_factor_is_one() -> None:
    assert found(replace(answer(2, 15), factor=1.0)) == 1


def test_exposure_counts_from_the_first_requests_to_the_turn() -> None:
    turn = (14, "turn", {"to": "back", "why": "slow"})
    past = entries([*_PAST[:2], turn])
    assert exposure(past, past[-1]) == (4.0, "weight-50")


def test_a_promoted_bad_version_and_a_late_turn_fail_the_campaign() -> None:
    good = Trial("slow", "rolled back", "weight-5", 19.0, "")
    assert good.problem(10.0) == ""
    assert "promoted" in replace(good, outcome="promoted").problem(10.0)
    assert "after 21.0 s" in replace(good, exposed_s=21.0).problem(10.0)
