"""What all models that take a picture have in common: the tensors, files made of arrays, labelled files."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from maas_core.errors import WrongUse
from maas_core.golden import Array
from maas_core.spec import TensorSpec

PICTURE = TensorSpec("picture", "BYTES", (1,), "the bytes of a PNG or JPEG file, any size and mode")
PICTURE_ERROR = TensorSpec("error", "BYTES", (1,), "why the picture could not be read; empty where it could")
_SUFFIXES = {".png", ".jpg", ".jpeg"}


def png_bytes(picture: Array | Image.Image) -> bytes:
    """A PNG of uint8 [height, width] or [height, width, 3], or of a Pillow picture."""
    buffer = BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(buffer, format="PNG")
    return buffer.getvalue()


def picture_column(pictures: Sequence[bytes]) -> Array:
    """[pictures, 1] of BYTES."""
    column = np.empty((len(pictures), 1), dtype=np.object_)
    column[:, 0] = pictures
    return column


def with_a_bad_one(pictures: Sequence[bytes]) -> Array:
    """As :func:`picture_column`; of three or more the second is no picture."""
    bad = [b"no picture" if len(pictures) > 2 and row == 1 else data for row, data in enumerate(pictures)]
    return picture_column(bad)


def pictures_in(folder: Path) -> list[Path]:
    """All PNG and JPEG files of a folder, by name.

    Raises:
        WrongUse: where it is no folder, or has none.
    """
    if not folder.is_dir():
        raise WrongUse(f"{folder} is not a folder", "give a folder with PNG or JPEG files as --data")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise WrongUse(f"{folder} holds no PNG or JPEG file", "give a folder with labelled pictures as --data")
    return found


def labelled_pictures(folder: Path, labels: Sequence[str] | None = None) -> list[tuple[Path, str]]:
    """The pictures of a folder with the label of each: a folder for each class, or files named ``LABEL_anything.png``.

    Args:
        folder: of the user.
        labels: the classes there are; ``None`` where any word is one.

    Raises:
        WrongUse: naming the file or folder whose label is not one of ``labels``.
    """
    if not folder.is_dir():
        raise WrongUse(f"{folder} is not a folder", "give a folder with labelled pictures as --data")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if classes:
        found = [(path, part.name) for part in classes for path in pictures_in(part)]
    else:
        found = [(path, path.stem.partition("_")[0]) for path in pictures_in(folder)]
    for path, label in found:
        if labels is not None and label not in labels:
            raise WrongUse(
                f"{path}: there is no class {label!r}",
                f"name folders, or files up to the first _, after a class: {', '.join(labels)}",
            )
    return found
