"""Where data names its classes itself, as CIFAR-10 does, served answers have these names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maas_core.golden import Tensors
from maas_export import weights
from maas_export.catalogue import model_named
from maas_export.data.split import Split
from maas_export.models.photo import PhotoCnn
from maas_export.networks.photo import PhotoNet
from maas_export.steps import RankLabels

CIFAR_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def trained_on(split: Split) -> None:
    model, module = PhotoCnn(), PhotoNet().eval()
    weights.store(
        module,
        b"",
        model=model.name,
        key="k",
        source=split.source,
        seed=0,
        epochs=0,
        duration_s=0.0,
        evaluation=model.evaluate(module, split).as_dict(),
    )


def part(count: int) -> Tensors:
    label = np.arange(count) % 10
    image = np.random.default_rng(count).integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
    return {"image": image, "label": label, "name": np.array(CIFAR_NAMES)[label]}


def test_ranking_names_the_classes_of_the_data_that_the_network_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAAS_BUILD", str(tmp_path))
    ranking = model_named("photo_postprocess")
    assert isinstance(ranking, RankLabels)
    assert tuple(ranking.labels) == PhotoCnn.spec.labels
    trained_on(Split(part(40), part(20), "CIFAR-10", tuple(CIFAR_NAMES)))
    assert list(ranking.labels) == CIFAR_NAMES
    assert ranking.assets["labels.txt"] == "".join(f"{name}\n" for name in CIFAR_NAMES)
    best = np.full((1, 10), -9, np.float32)
    best[0, 8] = 9
    answer = ranking.reference({"logits": best, "error": np.array([[b""]], dtype=np.object_)}, {})
    assert answer["label"][0, 0] == b"ship"
