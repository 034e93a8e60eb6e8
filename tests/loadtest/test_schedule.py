"""The schedule: fixed by its seed, and arrivals that are what they are called."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from maas_core.errors import WrongUse
from maas_loadtest.arrivals import Stage, arrivals
from maas_loadtest.schedule import Schedule, choose, mark

NS = 1e9


def moments(kind: str, *stages: Stage, seed: int = 1, **options: float) -> np.ndarray:
    return arrivals(kind, stages, np.random.default_rng(seed), **options)  # type: ignore[arg-type]  # parametrized


def plan(seed: int, rate: float = 50) -> Schedule:
    rng = np.random.default_rng(seed)
    at_ns = arrivals("poisson", (Stage(10, rate),), rng)
    return Schedule(at_ns, choose(rng, len(at_ns), np.array([3.0, 1.0])), mark(rng, len(at_ns), 0.01), 10)


class TestSeed:
    def test_the_same_seed_gives_the_same_digest(self) -> None:
        assert plan(7).sha256 == plan(7).sha256

    def test_another_seed_or_rate_gives_another_digest(self) -> None:
        assert len({plan(7).sha256, plan(8).sha256, plan(7, rate=51).sha256}) == 3

    def test_the_digest_covers_what_is_sent_and_what_is_compared(self) -> None:
        one = plan(7)
        other_choice = Schedule(one.at_ns, 1 - one.request, one.checked, 10)
        other_marks = Schedule(one.at_ns, one.request, ~one.checked, 10)
        assert len({one.sha256, other_choice.sha256, other_marks.sha256}) == 3


class TestArrivals:
    def test_distances_of_poisson_arrivals_are_exponential(self) -> None:
        gaps_s = np.diff(moments("poisson", Stage(200, 100))) / NS
        assert stats.kstest(gaps_s, "expon", args=(0, 0.01)).pvalue > 0.01

    def test_constant_arrivals_have_equal_distances(self) -> None:
        at_ns = moments("constant", Stage(2, 100))
        assert len(at_ns) == 200
        assert set(np.diff(at_ns).tolist()) == {10_000_000}

    def test_gamma_arrivals_are_as_bursty_as_asked_for(self) -> None:
        gaps = np.diff(moments("gamma", Stage(400, 100), burstiness=4.0))
        assert (gaps.std() / gaps.mean()) ** 2 == pytest.approx(4.0, rel=0.1)

    @pytest.mark.parametrize("kind", ["poisson", "constant", "gamma"])
    def test_each_stage_has_its_rate(self, kind: str) -> None:
        at_s = moments(kind, Stage(100, 50), Stage(50, 0), Stage(100, 200)) / NS
        counts = [((at_s >= start) & (at_s < end)).sum() for start, end in ((0, 100), (100, 149.99), (149.99, 250))]
        assert counts[0] == pytest.approx(5000, rel=0.1)
        assert counts[1] <= 1
        assert counts[2] == pytest.approx(20000, rel=0.1)

    def test_moments_ascend_and_end_with_the_last_stage(self) -> None:
        at_ns = moments("poisson", Stage(5, 40), Stage(5, 400))
        assert (np.diff(at_ns) >= 0).all()
        assert at_ns[-1] <= 10 * NS

    @pytest.mark.parametrize("stage", [Stage(60, 1e9), Stage(1, 0.1)])
    def test_a_schedule_that_cannot_be_made_is_refused(self, stage: Stage) -> None:
        with pytest.raises(WrongUse, match="--rate"):
            moments("poisson", stage)


class TestParts:
    def test_workers_together_send_the_whole_schedule_once(self) -> None:
        whole = plan(3)
        parts = [whole.part(index, 3) for index in range(3)]
        assert sorted(np.concatenate([part.at_ns for part in parts]).tolist()) == whole.at_ns.tolist()
        assert max(map(len, parts)) - min(map(len, parts)) <= 1

    def test_models_are_drawn_by_weight(self) -> None:
        chosen = choose(np.random.default_rng(0), 10_000, np.array([3.0, 1.0]))
        assert (chosen == 0).mean() == pytest.approx(0.75, abs=0.02)

    def test_at_least_one_answer_is_compared(self) -> None:
        assert mark(np.random.default_rng(0), 5, 0.0001).sum() == 1
        assert mark(np.random.default_rng(0), 5, 0).sum() == 0
