"""Other writers of the same digits: what augmentation makes of 8×8 ink, at the size that the network takes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from maas_core.golden import Array
from maas_export.python_models import load_module


def prepared(inputs: Array) -> Array:
    """Ink of any size [samples, height, width] as the network takes it [samples, 1, 28, 28]."""
    return _normalised(as_written(inputs))


def augmented(inputs: Array, rng: np.random.Generator) -> Array:
    """The same digits by other writers (see :func:`rewritten`); shapes as :func:`prepared`."""
    return _normalised(rewritten(inputs, rng))


def rewritten(inputs: Array, rng: np.random.Generator) -> Tensor:
    """The same digits turned, slanted, narrowed, bent, thin or thick, sharp or soft: [samples, 1, 96, 96]."""
    enlarged = _enlarged(inputs)
    count = len(inputs)
    bent = functional.grid_sample(enlarged, _random_grid(count, enlarged.shape[-1], rng), align_corners=False)
    level = torch.from_numpy(rng.uniform(0.25, 0.75, count).astype(np.float32))
    slope = torch.from_numpy(rng.uniform(6.0, 20.0, count).astype(np.float32))
    return _sharpened(bent, level, slope)


def as_written(inputs: Array) -> Tensor:
    """The digits as they are, with sharp edges: [samples, 1, 96, 96]."""
    return _sharpened(_enlarged(inputs), torch.full((len(inputs),), 0.5), torch.full((len(inputs),), 12.0))


def _enlarged(inputs: Array) -> Tensor:
    """Ink [samples, height, width] on a ground twice its size, [samples, 1, 96, 96]."""
    ink = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))[:, None]
    large = functional.interpolate(ink, size=(56, 56), mode="bicubic", align_corners=False).clamp(0, 1)
    return functional.pad(large, (20, 20, 20, 20))


def _sharpened(ink: Tensor, level: Tensor, slope: Tensor) -> Tensor:
    """Turns the blur of enlarging into an edge: ``level`` sets how thick strokes become, ``slope`` how sharp."""
    return torch.sigmoid((ink - level[:, None, None, None]) * slope[:, None, None, None])


def _random_grid(count: int, size: int, rng: np.random.Generator) -> Tensor:
    """Sampling positions [count, size, size, 2]: a random affine map and a smooth random bending."""
    angle = rng.uniform(-0.26, 0.26, count)
    slant = rng.uniform(-0.45, 0.45, count)
    width, height = rng.uniform(0.75, 1.35, count), rng.uniform(0.9, 1.15, count)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    shear = np.stack([np.stack([width, slant], -1), np.stack([np.zeros(count), height], -1)], -2)
    affine = np.concatenate([rotation @ shear, np.zeros((count, 2, 1))], -1).astype(np.float32)
    grid = functional.affine_grid(torch.from_numpy(affine), [count, 1, size, size], align_corners=False)
    coarse = torch.from_numpy(rng.normal(0.0, 0.05, (count, 2, 5, 5)).astype(np.float32))
    bending = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    return grid + bending.permute(0, 2, 3, 1)


def _normalised(ink: Tensor) -> Array:
    """The very normalisation that the server applies to a picture's ink."""
    normalise = load_module("digits_preprocess", "picture").normalise_ink
    return np.asarray([[normalise(page)] for page in ink[:, 0].numpy()], dtype=np.float32)
