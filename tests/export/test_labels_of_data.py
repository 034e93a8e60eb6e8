"""Where data names its classes itself, as CIFAR-10 does, served answers have these names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maas_export.catalogue import model_named
from maas_export.models.photo import PhotoCnn
from maas_export.steps import RankLabels

CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_ranking_names_the_classes_in_the_bundle_of_its_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    ranking = model_named("photo_postprocess")
    assert isinstance(ranking, RankLabels)
    assert tuple(ranking.labels) == PhotoCnn.spec.labels
    bundle = tmp_path / "bundles" / "photo_cnn" / "onnx"
    bundle.mkdir(parents=True)
    (bundle / "labels.txt").write_text("".join(f"{name}\n" for name in CIFAR_NAMES))
    assert list(ranking.labels) == CIFAR_NAMES
    assert ranking.assets["labels.txt"] == "".join(f"{name}\n" for name in CIFAR_NAMES)
    best = np.full((1, 10), -9, np.float32)
    best[0, 8] = 9
    answer = ranking.reference({"logits": best, "error": np.array([[b""]], dtype=np.object_)}, {})
    assert answer["label"][0, 0] == b"ship"
