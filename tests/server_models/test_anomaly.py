"""From the autoencoder's error to an answer."""

from __future__ import annotations

import numpy as np
import pytest

from maas_export.models.anomaly import AnomalyPostprocess
from maas_export.python_models import load_module

judging = load_module("anomaly_postprocess", "judging")


def test_what_is_above_the_threshold_is_an_anomaly() -> None:
    score, is_anomaly = judging.judge(np.array([[0.1], [0.2], [0.3]], np.float32), ["", "", ""], 0.25)
    np.testing.assert_allclose(score, [[0.1], [0.2], [0.3]], rtol=1e-6)
    assert is_anomaly.tolist() == [[False], [False], [True]]
    assert is_anomaly.dtype == np.bool_


def test_a_row_with_an_error_has_neither_score_nor_alarm() -> None:
    score, is_anomaly = judging.judge(np.array([[np.nan], [0.9]], np.float32), ["blank", ""], 0.25)
    assert score[0, 0] == 0
    assert is_anomaly.tolist() == [[False], [True]]


def test_a_score_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        judging.judge(np.array([[np.nan]], np.float32), [""], 0.25)


def test_the_threshold_of_the_config_is_the_one_of_the_code() -> None:
    assert float(AnomalyPostprocess.spec.serving.parameters["threshold"]) == judging.DEFAULT_THRESHOLD
