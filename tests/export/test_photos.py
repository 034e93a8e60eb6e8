"""Patches of photographs: what is held out comes from regions that training never sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maas_export.data import photos
from maas_export.data.split import Split
from maas_export.models.photo import PhotoCnn
from maas_export.networks.photo import PhotoNet


def test_the_network_is_the_one_of_the_catalogue() -> None:
    shapes = {name: tuple(parameter.shape) for name, parameter in PhotoNet().named_parameters() if "weight" in name}
    assert shapes == {
        "conv1.weight": (6, 3, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 400),
        "fc2.weight": (84, 120),
        "fc3.weight": (10, 84),
    }


@pytest.fixture(scope="module")
def built_in() -> Split:
    return photos.built_in(0)


def test_there_are_ten_classes_of_the_same_size(built_in: Split) -> None:
    assert built_in.train["image"].shape == (10_000, 3, 32, 32)
    assert np.bincount(built_in.train["label"]).tolist() == [1000] * 10
    assert np.bincount(built_in.test["label"]).tolist() == [200] * 10
    assert built_in.digest == photos.built_in(0).digest
    assert built_in.digest != photos.built_in(1).digest


@pytest.mark.parametrize("seed", [0, 1])
def test_no_region_has_patches_in_both_parts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph whose red and green tell the region, so that every patch tells where it is from."""
    side = 60
    rows, columns = np.indices((5 * side, 5 * side)) // side
    page = np.stack([rows * 40, columns * 40, np.zeros_like(rows)], -1).astype(np.uint8)
    monkeypatch.setattr(photos, "_photographs", lambda: {"page": page})
    monkeypatch.setattr(photos, "PHOTOGRAPHS", {"page": ""})
    split = photos.built_in(seed)

    def regions(part: dict[str, Any]) -> set[tuple[int, int]]:
        flat = part["image"].reshape(len(part["image"]), 3, -1)
        assert (flat == flat[:, :, :1]).all(), "a patch reaches into another region"
        return set(map(tuple, flat[:, :2, 0].tolist()))

    train, test = regions(dict(split.train)), regions(dict(split.test))
    assert not train & test
    assert (len(train), len(test)) == (20, 5)


def test_training_sees_other_light_but_the_same_classes(built_in: Split) -> None:
    model = PhotoCnn()
    few = {name: column[::500] for name, column in built_in.train.items()}
    one, again = (model.epoch_data(few, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one["image"], again["image"])
    np.testing.assert_array_equal(one["label"], few["label"])
    assert one["image"].dtype == np.float32
    assert np.abs(one["image"]).max() <= 1
    assert not np.array_equal(one["image"], model.features(few)["image"])


def test_pictures_that_have_an_upright_are_not_turned_over() -> None:
    """CIFAR-10's: their upper half is light here, and stays so."""
    image = np.zeros((40, 3, 32, 32), np.uint8)
    image[:, :, :16] = 255
    columns = {"image": image, "label": np.arange(40) % 2, "name": np.array(["ship", "truck"])[np.arange(40) % 2]}
    shown = PhotoCnn().epoch_data(columns, np.random.default_rng(0))["image"]
    assert (shown[:, :, :16].mean((1, 2, 3)) > shown[:, :, 16:].mean((1, 2, 3))).all()


def test_the_baseline_knows_colours_and_nothing_else() -> None:
    """Two classes of the same colours in another order are one to it; two of other colours are not."""
    rng = np.random.default_rng(0)

    def part(count: int) -> dict[str, Any]:
        label = np.arange(count) % 3
        image = np.zeros((count, 3, 32, 32), np.uint8)
        image[:, 0] = rng.integers(200, 255, (count, 32, 32))
        image[label == 1, :, :16] = 0
        image[label == 2, :, 16:] = 0
        image[label == 0, 1] = 200
        return {"image": image, "label": label}

    accuracy = PhotoCnn().baseline(Split(part(120), part(60), ""))["colour histogram + logistic regression"]
    assert 0.5 < accuracy < 0.9
