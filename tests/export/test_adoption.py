"""Adoption curves: where they come from, how they are read, the network's step, and what forecasts are measured by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maas_core.errors import WrongUse
from maas_export.catalogue import torch_model_named
from maas_export.data import adoption
from maas_export.data.adoption_csv import read_curves
from maas_export.data.split import Split
from maas_export.forecasting import METHODS, asked_of, scores, simpler_methods
from maas_export.networks.adoption import HORIZON, UNITS, AdoptionLstm, AdoptionStep, pinball_loss
from tests.conftest import ROOT

WIDE = "year,solar,wind\n2001,1 %,0.5\n2002,,0.6\n2003,3 %,\n"


def written(folder: Path, text: str | bytes) -> Path:
    """A CSV file with that text."""
    path = folder / "curves.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_wide_file_has_a_curve_in_each_column(tmp_path: Path) -> None:
    curves = read_curves(written(tmp_path, WIDE))
    np.testing.assert_allclose(curves["solar"], [0.01, np.nan, 0.03])
    np.testing.assert_allclose(curves["wind"], [0.5, 0.6])


def test_a_long_file_has_a_value_in_each_line(tmp_path: Path) -> None:
    text = "\ufeffCurve, Year, share\nsolar,2001,1 %\nwind,2005,0.5\nsolar,2002,2 %\n\n"
    curves = read_curves(written(tmp_path, text))
    np.testing.assert_allclose(curves["solar"], [0.01, 0.02])
    np.testing.assert_allclose(curves["wind"], [0.5])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("year,solar\n", "no line below its heading"),
        ("a,b\n1,2\n", "line 1: the columns are a, b"),
        ("year,solar,solar\n2001,1 %,1 %\n", "line 1: two columns have one name"),
        ("year,solar\n2001,1 %\n2002\n", "line 3: 1 cells, the heading has 2"),
        ("year,solar\n2001,1 %\n2002,much\n", "line 3, 'solar': 'much' is no share"),
        ("year,solar\n2001,1 %\n2002,12\n", "line 3, 'solar': '12' is not between 0 and 1"),
        ("year,solar\n2001,1 %\n2003,2 %\n", "line 3: 'solar' has 2003 after 2001"),
        ("year,solar\nsoon,1 %\n", "line 2: 'soon' is no year"),
        ("year,solar\n2001,\n", "'solar' has no known share"),
        ("curve,year,share\n,2001,1 %\n", "line 2: the curve has no name"),
        (b"year,solar\n2001,1 %\n2002,\xff\n", "line 3: byte 0xff is no UTF-8"),
        ('year,solar\n2001,"1 %\n', "line 2: unexpected end of data"),
    ],
)
def test_a_broken_file_is_refused_with_line_and_reason(tmp_path: Path, text: str | bytes, told: str) -> None:
    with pytest.raises(WrongUse, match=told) as raised:
        read_curves(written(tmp_path, text))
    assert "curves.csv" in str(raised.value)


def test_a_missing_file_and_too_few_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"nosuch\.csv cannot be read"):
        adoption.from_path(tmp_path / "nosuch.csv", 0)
    with pytest.raises(WrongUse, match="'solar' has 2 known shares"):
        adoption.from_path(written(tmp_path, WIDE), 0)
    years = "".join(f"{year},{year - 2000} %\n" for year in range(2001, 2020))
    with pytest.raises(WrongUse, match="holds 1 curves"):
        adoption.from_path(written(tmp_path, "year,solar\n" + years), 0)


def test_the_users_curves_may_differ_in_length(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(6)]
    lines = [
        ",".join([str(2000 + row), *("" if row < number else f"{row} %" for number in range(6))]) for row in range(20)
    ]
    split = adoption.from_path(written(tmp_path, f"year,{','.join(names)}\n" + "\n".join(lines)), 0)
    assert len(split.train["share"]) + len(split.test["share"]) == 6
    assert sorted([*split.train["known"].sum(1), *split.test["known"].sum(1)]) == [15, 16, 17, 18, 19, 20]


def test_generated_curves_are_shares_that_grow() -> None:
    curves = adoption.generated_curves(np.random.default_rng(0), 400)
    assert curves.min() >= 0
    assert curves.max() <= 1
    assert np.mean(curves[:, -1] > curves[:, 0]) > 0.95
    assert not np.array_equal(curves, adoption.generated_curves(np.random.default_rng(1), 400))


def test_held_out_curves_are_no_training_curves() -> None:
    split = adoption.built_in(3)
    train = {row.tobytes() for row in split.train["share"]}
    assert not any(row.tobytes() in train for row in split.test["share"])
    assert split.digest == adoption.built_in(3).digest != adoption.built_in(4).digest


def test_the_example_is_the_real_curve() -> None:
    (curve,) = read_curves(ROOT / "examples" / "adoption" / "iowa_renewables.csv").values()
    years, share = adoption.iowa_renewables()
    assert years.tolist() == list(range(2001, 2018))
    np.testing.assert_allclose(curve, share, atol=6e-4)
    assert share[0] < 0.05
    assert share[-1] > 0.35


def test_augmenting_hides_observations_and_keeps_targets() -> None:
    train = adoption.built_in(0).train
    drawn = adoption.augmented(train, np.random.default_rng(0))
    assert np.all(drawn["target_known"] >= drawn["known"])
    assert 0.02 < 1 - drawn["known"].sum() / drawn["target_known"].sum() < 0.2
    first = np.argmax(drawn["target"][0] == train["share"][0][-1])
    assert drawn["target_known"][0].sum() == first + 1


def test_one_step_at_a_time_gives_what_the_lstm_gives_at_once() -> None:
    torch.manual_seed(0)
    network = AdoptionLstm().eval()
    share, known = torch.rand(3, 30), torch.rand(3, 30) > 0.2
    step, cell, hidden = AdoptionStep(network), torch.zeros(3, UNITS), torch.zeros(3, UNITS)
    with torch.inference_mode():
        forecast, sequence, (last_hidden, last_cell) = network(share, known)
        for year in range(30):
            now, output, cell, hidden = step(share[:, year : year + 1], known[:, year : year + 1], cell, hidden)
            torch.testing.assert_close(now, forecast[:, year], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(output, sequence[:, year], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(hidden, last_hidden, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cell, last_cell, atol=1e-5, rtol=1e-5)


def test_quantiles_are_shares_in_order_and_a_hidden_share_changes_nothing() -> None:
    torch.manual_seed(1)
    network = AdoptionLstm().eval()
    share, known = torch.rand(4, 12), torch.rand(4, 12) > 0.3
    with torch.inference_mode():
        forecast = network(share, known)[0]
        other = network(torch.where(known, share, torch.rand(4, 12)), known)[0]
    assert torch.equal(forecast, other)
    assert (forecast.diff(dim=-1) >= 0).all()
    assert forecast.min() >= 0
    assert forecast.max() <= 1


def test_the_loss_is_least_at_the_right_quantiles_and_blind_to_what_is_unknown() -> None:
    target, known = torch.linspace(0, 1, 12)[None], torch.ones(1, 12, dtype=torch.bool)
    right = torch.zeros(1, 12, HORIZON, 3)
    for year in range(12):
        for ahead in range(HORIZON):
            right[0, year, ahead] = target[0, min(year + 1 + ahead, 11)]
    assert pinball_loss(right, target, known).item() == pytest.approx(0)
    assert pinball_loss(right + 0.1, target, known).item() == pytest.approx(0.05)
    known[0, 6:] = False
    spoiled = target.clone()
    spoiled[0, 6:] = 7.0
    assert pinball_loss(right, spoiled, known).item() == pytest.approx(0)


def test_simpler_methods_know_their_own_curves() -> None:
    years = np.arange(30)
    curves = {
        "same as last year": np.full(30, 0.3),
        "drift": 0.02 * years,
        "fitted logistic curve": 0.8 / (1 + np.exp(-0.4 * (years - 14))),
    }
    for name, curve in curves.items():
        share, known = curve[None], np.ones((1, 30), np.bool_)
        asked = asked_of(share, known, least_history=12, every=1, horizon=HORIZON)
        errors = simpler_methods(share, known, asked)
        assert errors[name] == pytest.approx(0, abs=1e-3), name
    assert set(curves) == set(METHODS)


def test_scores_count_only_what_came() -> None:
    share = np.linspace(0, 0.9, 10)[None]
    known = np.ones((1, 10), np.bool_)
    known[0, 8] = False
    asked = asked_of(share, known, least_history=3, every=1, horizon=HORIZON)
    came = asked.share[..., None] + np.array([-0.01, 0.0, 0.01])
    assert scores(came, asked) == {"MAE": pytest.approx(0), "coverage of the 10-90 % band": 1.0}
    assert scores(came + 0.05, asked) == {"MAE": pytest.approx(0.05), "coverage of the 10-90 % band": 0.0}
    spoiled = came.copy()
    spoiled[~asked.known] = 0.5
    assert scores(spoiled, asked)["MAE"] == pytest.approx(0)


def test_an_untrained_network_is_evaluated_on_generated_and_real_curves() -> None:
    model = torch_model_named("adoption_lstm")
    split = adoption.built_in(0)
    few = Split(split.train, {name: column[:12] for name, column in split.test.items()}, split.source)
    evaluation = model.evaluate(model.build().eval(), few)
    assert evaluation.picture.startswith(b"\x89PNG")
    assert not evaluation.higher_is_better
    assert set(evaluation.baselines) == set(METHODS)
    assert (
        evaluation.details["real"]["baselines"]["drift"] < evaluation.details["real"]["baselines"]["same as last year"]
    )


def test_a_line_ends_only_where_the_file_says_so(tmp_path: Path) -> None:
    """Unicode has further line ends, which are none in a CSV file."""
    years = "".join(f"{2000 + year},{year} %,{year} %\n" for year in range(30))
    broken = f"year,so\u2028lar,wi\x85nd\n{years}2030,high,2 %\n"
    with pytest.raises(WrongUse, match=r"line 32, 'so\\u2028lar'"):
        adoption.from_path(written(tmp_path, broken), 0)


def test_two_shares_decide_no_logistic_curve() -> None:
    method = METHODS["fitted logistic curve"]
    assert method(np.array([0, 1]), np.array([0.1, 0.2]), 3).tolist() == [0.2, 0.2, 0.2]
