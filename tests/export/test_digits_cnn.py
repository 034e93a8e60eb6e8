from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maas_export.data.digit_writers import augmented
from maas_export.models.digits import DigitsCnn
from maas_export.networks.digits import DigitsNet


def test_the_network_is_the_published_one_with_pooling_counted() -> None:
    """The form that is copied around flattens to 64·28·28, as if nothing had been pooled, and so does not even run.

    Two poolings make 7×7 of 28×28.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in DigitsNet().named_parameters() if "weight" in name}
    assert shapes == {
        "conv1.weight": (32, 1, 3, 3),
        "conv2.weight": (64, 32, 3, 3),
        "fc1.weight": (128, 64 * 7 * 7),
        "fc2.weight": (10, 128),
    }
    assert DigitsNet()(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    published = DigitsNet()
    published.fc1 = nn.Linear(64 * 28 * 28, 128)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        published(torch.zeros(3, 1, 28, 28))


def test_augmentation_makes_other_digits_of_the_same_kind() -> None:
    ink = DigitsCnn().load_data(None, 0).train["ink"][:8]
    one, again = augmented(ink, np.random.default_rng(1)), augmented(ink, np.random.default_rng(1))
    other = augmented(ink, np.random.default_rng(2))
    assert one.shape == (8, 1, 28, 28)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1
    assert (one.reshape(8, -1).max(axis=1) > 0.9).all(), "a digit lost its ink"
