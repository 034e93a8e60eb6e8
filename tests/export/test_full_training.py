"""What whole trainings on the built-in data reach: minutes, so only in `make test-full`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import ROOT, json_lines, run_maas

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

LANGUAGES = ("language_rnn", "language_attention", "language_transformer")


@pytest.fixture(scope="module")
def trained() -> dict[str, dict[str, Any]]:
    build = ROOT / "build"
    done = run_maas("train", "--all", "--json", build=build, timeout_s=3600)
    assert done.returncode == 0, done.stderr
    records = {record["model"]: record for record in json_lines(done.stdout)}
    seeds = run_maas("train", *LANGUAGES, "--seeds", "3", "--json", build=build, timeout_s=1800)
    assert seeds.returncode == 0, seeds.stderr
    return records | {record["model"]: record for record in json_lines(seeds.stdout)}


def evaluation(trained: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    found: dict[str, Any] = trained[name]["evaluation"]
    return found


def test_digits_are_read(trained: dict[str, dict[str, Any]]) -> None:
    assert evaluation(trained, "digits_cnn")["value"] >= 0.98


def test_photographs_are_told_better_than_by_their_colours(trained: dict[str, dict[str, Any]]) -> None:
    seen = evaluation(trained, "photo_cnn")
    assert seen["value"] > max(seen["baselines"].values())


@pytest.mark.parametrize("name", LANGUAGES)
def test_each_language_network_is_within_three_points_of_n_grams(trained: dict[str, dict[str, Any]], name: str) -> None:
    values = trained[name]["over_seeds"].values()
    assert len(values) == 3
    assert sum(values) / 3 >= max(evaluation(trained, name)["baselines"].values()) - 0.03


def test_the_best_language_network_beats_n_grams_by_more_than_a_point(trained: dict[str, dict[str, Any]]) -> None:
    means = [sum(trained[name]["over_seeds"].values()) / 3 for name in LANGUAGES]
    assert max(means) >= max(evaluation(trained, LANGUAGES[0])["baselines"].values()) + 0.01


def test_forecasts_beat_staying_and_drifting_and_the_band_is_honest(trained: dict[str, dict[str, Any]]) -> None:
    seen = evaluation(trained, "adoption_lstm")
    assert seen["value"] < seen["baselines"]["same as last year"]
    assert seen["value"] < seen["baselines"]["drift"]
    coverage = next(value for name, value in seen["figures"].items() if "coverage" in name)
    assert 0.75 <= coverage <= 0.85


def test_what_is_no_digit_stands_out(trained: dict[str, dict[str, Any]]) -> None:
    figures = evaluation(trained, "digit_autoencoder")["figures"]
    assert figures["AUROC letters"] >= 0.80
    assert figures["AUROC noise"] >= 0.95
    assert figures["AUROC shuffled pixels"] >= 0.95


def test_digits_are_found_in_scenes(trained: dict[str, dict[str, Any]]) -> None:
    assert evaluation(trained, "digit_detector")["value"] >= 0.85


def test_paraphrases_are_ranked_right(trained: dict[str, dict[str, Any]]) -> None:
    assert evaluation(trained, "sentence_encoder")["value"] == 1.0


def test_the_small_gpt_needs_a_tenth_less_than_a_trigram(trained: dict[str, dict[str, Any]]) -> None:
    seen = evaluation(trained, "tiny_gpt")
    assert seen["value"] <= 0.9 * min(seen["baselines"].values())
