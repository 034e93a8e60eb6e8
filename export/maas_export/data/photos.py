"""Small colour pictures with a class each: patches of photographs that scikit-image installs.

Columns: ``image`` uint8 [samples, 3, 32, 32] (red, green, blue); ``label``, and ``name`` of the label.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from maas_core.golden import Array, Tensors
from maas_export.data.split import Split

SIZE = 32
PHOTOGRAPHS = {
    "brick": "brick",
    "cameraman": "camera",
    "cat": "cat",
    "coffee": "coffee",
    "coins": "coins",
    "galaxies": "hubble_deep_field",
    "grass": "grass",
    "gravel": "gravel",
    "moon": "moon",
    "rocket": "rocket",
}
"""Each class and the function of ``skimage.data`` that gives its photograph. All ten are in the public domain, under
CC0 or without known restrictions; six are grey, so that colour alone does not tell them apart."""

_GRID = 5
"""A photograph has 5 rows of 5 regions. One of each row and column is held out: a fifth, as of all other data."""
_LARGEST = 48
"""The side of the largest window, pixels of the photograph; every window is scaled to 32 by 32."""
_TRAIN_PATCHES, _TEST_PATCHES = 1000, 200


def built_in(seed: int) -> Split:
    """Windows of ten photographs, scaled to 32×32; those held out come from regions that training never sees."""
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Array]] = {"train": [], "test": []}
    for photograph in _photographs().values():
        held_out = rng.permutation(_GRID)
        regions = [(row, column) for row in range(_GRID) for column in range(_GRID)]
        parts["train"].append(
            _patches(photograph, [at for at in regions if held_out[at[0]] != at[1]], _TRAIN_PATCHES, rng)
        )
        parts["test"].append(_patches(photograph, list(enumerate(held_out)), _TEST_PATCHES, rng))
    return Split(
        _labelled(parts["train"]),
        _labelled(parts["test"]),
        "32×32 patches of ten scikit-image photographs",
        tuple(PHOTOGRAPHS),
    )


def _photographs() -> dict[str, Array]:
    """[height, width, 3] of each class."""
    from skimage import data

    found = {}
    for label, name in PHOTOGRAPHS.items():
        photograph = getattr(data, name)()
        found[label] = photograph if photograph.ndim == 3 else np.repeat(photograph[..., None], 3, axis=2)
    return found


def _patches(photograph: Array, regions: list[tuple[int, int]], count: int, rng: np.random.Generator) -> Array:
    """[count, 3, 32, 32]: windows of 32 to 48 pixels, each wholly inside one of the regions."""
    height, width = photograph.shape[0] // _GRID, photograph.shape[1] // _GRID
    patches = np.empty((count, 3, SIZE, SIZE), dtype=np.uint8)
    for position in range(count):
        row, column = regions[rng.integers(len(regions))]
        side = int(rng.integers(SIZE, _LARGEST + 1))
        top = row * height + int(rng.integers(height - side + 1))
        left = column * width + int(rng.integers(width - side + 1))
        window = Image.fromarray(photograph[top : top + side, left : left + side])
        patches[position] = np.asarray(window.resize((SIZE, SIZE), Image.Resampling.BOX)).transpose(2, 0, 1)
    return patches


def _labelled(patches: list[Array]) -> Tensors:
    label = np.repeat(np.arange(len(patches), dtype=np.int64), [len(part) for part in patches])
    return {"image": np.concatenate(patches), "label": label, "name": np.array(list(PHOTOGRAPHS), dtype=np.str_)[label]}
