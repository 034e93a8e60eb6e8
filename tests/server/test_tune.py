"""`maas tune`: the objective, the search, and the choice."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from tests.server.tuning import spec

from maas_core.config import config_of
from maas_core.errors import WrongUse
from maas_core.spec import Serving
from maas_export.catalogue import all_models
from maas_export.serving_choice import CHOICES_PATH, serving_for
from maas_server.tune_choice import default_choices_path, write_choice
from maas_server.tune_report import judge
from maas_server.tune_search import Outcome, Point, frontier, medians, search
from maas_server.tune_settings import Grid, Setting, apply_setting, setting_of, settings_to_try
from maas_server.tune_slo import LatencyObjective, parse_objective

P99_20 = LatencyObjective({"p99": 20.0})
PRESENT = Setting(1, 1, 0, 8)


def point(setting: Setting = PRESENT, p99_ms: float = 1.0, rate: float = 100.0, **other: Any) -> Point:
    latencies = {"p50": p99_ms / 2, "p90": p99_ms, "p95": p99_ms, "p99": p99_ms}
    values = {"callers": 1, "samples_per_execution": 1.0, "requests": 100, "errors": 0} | other
    return Point(setting=setting, requests_per_s=rate, latency_ms=latencies, **values)


class TestObjective:
    @pytest.mark.parametrize(
        ("text", "limits_ms"),
        [
            ("p99=20ms", {"p99": 20.0}),
            ("p50<=500us, p99=0.2s", {"p50": 0.5, "p99": 200.0}),
        ],
    )
    def test_is_read(self, text: str, limits_ms: dict[str, float]) -> None:
        assert parse_objective(text).limits_ms == limits_ms

    @pytest.mark.parametrize(
        "text", ["", "fast", "p99", "p99=20", "p98=20ms", "p99=0ms", "p99=20ms;p50=1ms", "p99=-1ms"]
    )
    def test_anything_else_is_refused_with_the_form(self, text: str) -> None:
        with pytest.raises(WrongUse, match=r"e\.g\. p99=20ms"):
            parse_objective(text)

    def test_all_limits_must_hold(self) -> None:
        both = LatencyObjective({"p50": 1.0, "p99": 5.0})
        assert point(p99_ms=2.0).meets(both)
        assert not point(p99_ms=4.0).meets(both)

    def test_a_failed_request_breaks_it(self) -> None:
        assert not point(errors=1).meets(P99_20)


class TestGrid:
    def test_by_default_the_cores_are_filled_and_the_present_setting_comes_first(self) -> None:
        settings = settings_to_try(config_of(spec()), Grid(), cores=2)
        assert settings[0] == PRESENT
        assert {(s.instances, s.intra_op_threads) for s in settings} == {(1, 1), (1, 2), (2, 1)}
        assert {s.queue_delay_us for s in settings} == {0, 500, 2000}
        assert {s.max_batch_size for s in settings} == {8, 16}
        assert len(settings) == len(set(settings))

    def test_many_cores_do_not_make_it_endless(self) -> None:
        settings = settings_to_try(config_of(spec()), Grid(), cores=64)
        assert all(32 <= s.instances * s.intra_op_threads <= 64 for s in settings[1:])

    def test_a_model_without_a_batch_axis_has_neither_batch_nor_delay(self) -> None:
        settings = settings_to_try(config_of(spec(max_batch_size=0)), Grid(), cores=2)
        assert {(s.max_batch_size, s.queue_delay_us) for s in settings} == {(0, 0)}

    def test_python_models_have_no_thread_count(self) -> None:
        config = config_of(replace(spec(), backend="python"))
        assert {s.intra_op_threads for s in settings_to_try(config, Grid(), cores=4)} == {1}
        with pytest.raises(WrongUse, match="no thread count"):
            settings_to_try(config, Grid(intra_op_threads=[2]), cores=4)

    @pytest.mark.parametrize("setting", [Setting(3, 2, 700, 16), Setting(1, 1, 0, 1)])
    def test_a_setting_stands_in_the_config_and_is_read_back(self, setting: Setting) -> None:
        assert setting_of(apply_setting(config_of(spec()), setting, "other")) == setting


class TestSearch:
    """Against a made-up machine: throughput grows with instances, a delay costs latency."""

    settings = (PRESENT, *(Setting(i, 1, d, 8) for i in (2, 3, 4) for d in (0, 2000, 50_000)))

    def run(
        self, budget_s: float = 1e6, objective: LatencyObjective = P99_20, slow_round: int | None = None
    ) -> Outcome:
        self.now = 0.0
        self.rounds: dict[int, list[Setting]] = {}

        def measure(settings: Sequence[Setting], window_s: float, repeats: int) -> list[Point]:
            self.rounds.setdefault(self.number, []).extend(settings)
            self.last = (len(settings), repeats)
            cost_s = 60.0 if self.number == slow_round else 1.0
            self.now += len(settings) * (cost_s + window_s * repeats)
            return [self.made_up(setting) for _ in range(repeats) for setting in settings]

        def tell(number: int, position: int, total: int, what: str) -> None:
            self.number = number

        return search(self.settings, 1, objective, measure, budget_s, tell, lambda: self.now)

    @staticmethod
    def made_up(setting: Setting) -> Point:
        p99_ms = 1.0 + setting.queue_delay_us / 1000
        return point(setting, p99_ms, 100.0 * setting.instances - p99_ms)

    def test_the_best_within_the_objective_wins(self) -> None:
        verdict = judge("m", P99_20, self.run(), PRESENT)
        assert verdict.chosen is not None
        assert verdict.chosen.setting == Setting(4, 1, 0, 8)
        assert verdict.changes

    def test_every_round_is_smaller_and_keeps_the_present_setting(self) -> None:
        self.run()
        assert len(self.rounds[0]) == len(self.settings) > len(self.rounds[1]) >= len(self.rounds[2])
        assert all(PRESENT in tried for tried in self.rounds.values())

    def test_the_last_round_measures_its_settings_in_turn(self) -> None:
        self.run()
        settings, repeats = self.last
        assert settings > 1
        assert repeats > 1

    def test_what_a_later_round_has_no_time_for_is_not_dropped(self) -> None:
        self.run(budget_s=60.0, slow_round=1)
        best = sorted(self.settings, key=lambda s: (s.instances, -s.queue_delay_us), reverse=True)
        within = [setting for setting in best if setting.queue_delay_us < 20_000]
        assert len(self.rounds[1]) == 2
        assert {*self.rounds[2]} == {*within[:3], PRESENT}

    def test_what_the_budget_does_not_reach_is_named(self) -> None:
        outcome = self.run(budget_s=6.0)
        assert outcome.untried
        assert {*outcome.untried} | {p.setting for p in outcome.points} == {*self.settings}

    def test_nothing_is_chosen_where_nothing_holds(self) -> None:
        impossible = LatencyObjective({"p99": 0.5})
        verdict = judge("m", impossible, self.run(objective=impossible), PRESENT)
        assert verdict.chosen is None
        assert verdict.best_seen.latency_ms["p99"] == 1.0

    def test_a_gain_within_the_noise_changes_nothing(self) -> None:
        slightly_better = Setting(2, 1, 0, 8)
        outcome = Outcome([point(rate=100.0), point(slightly_better, rate=104.0)], [slightly_better, PRESENT], [])
        verdict = judge("m", P99_20, outcome, PRESENT)
        assert verdict.chosen == verdict.present
        assert not verdict.changes

    def test_repeats_become_medians_and_errors_add_up(self) -> None:
        (merged,) = medians([point(rate=1.0), point(rate=50.0, errors=1), point(rate=3.0)])
        assert merged.requests_per_s == 3.0
        assert merged.errors == 1

    def test_the_frontier_holds_what_nothing_beats(self) -> None:
        fast, slow, beaten = point(p99_ms=1, rate=10), point(p99_ms=9, rate=99), point(p99_ms=5, rate=9)
        assert frontier([beaten, slow, fast], "p99") == [fast, slow]


class TestChoice:
    def test_what_is_written_is_what_the_spec_reads(self, tmp_path: Path) -> None:
        path = tmp_path / "serving.toml"
        write_choice(
            path, "doubled", point(Setting(2, 3, 700, 16)), {"machine": 'a "quoted" one', "before": {"p99_ms": 1.5}}
        )
        default = Serving(max_batch_size=8, parameters={"kept": "yes"})
        assert serving_for("doubled", default, path) == Serving(16, 2, 3, True, 700, {"kept": "yes"})
        assert serving_for("another", default, path) == default
        assert tomllib.loads(path.read_text())["doubled"]["evidence"]["machine"] == 'a "quoted" one'

    def test_other_tables_and_comments_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "serving.toml"
        path.write_text("# by hand\n[other]\ninstances = 7 # why\n")
        for instances in (1, 2):
            write_choice(path, "doubled", point(Setting(instances, 1, 0, 8)), {})
        assert path.read_text().startswith("# by hand\n[other]\ninstances = 7 # why\n")
        assert serving_for("doubled", Serving(8), path).instances == 2

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[doubled]\nthreads = 2\n", "has 'threads'"),
            ("[doubled]\ninstances = 0\n", "at least 1"),
            ("[doubled]\ninstances = true\n", "is True"),
            ("[doubled\n", "is not TOML"),
        ],
    )
    def test_a_spoilt_file_is_named_with_its_fault(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "serving.toml"
        path.write_text(text)
        with pytest.raises(WrongUse, match=re.escape(str(path))) as refused:
            serving_for("doubled", Serving(8), path)
        assert words in refused.value.message

    def test_the_committed_choices_are_of_models_of_the_catalogue_and_have_evidence(self) -> None:
        assert default_choices_path() == CHOICES_PATH
        choices = tomllib.loads(CHOICES_PATH.read_text(encoding="utf-8"))
        for name, choice in choices.items():
            serving = all_models()[name].spec.serving
            assert {key: value for key, value in choice.items() if key != "evidence"}.items() <= asdict(serving).items()
            assert {"objective", "date", "machine", "callers", "requests_per_s", "p99_ms"} <= choice["evidence"].keys()
