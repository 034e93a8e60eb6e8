"""What ``preprocessor_config.json`` does to a picture, as far as it always gives the same size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maas_core.errors import WrongUse

PICTURE_FILE = "picture.json"
_DEFAULT_CROP_SHARE = 224 / 256
_SMALL = 384
"""ConvNeXt's and ResNet's processor cuts an edge off pictures smaller than this only."""
_BILINEAR = 2
_OF_BYTES = 1 / 255


def picture_settings(processor: Mapping[str, Any], image_size: Any) -> dict[str, Any] | None:
    """What the step on the server is told, JSON-able; ``None`` where pictures would come out in different sizes.

    Args:
        processor: ``preprocessor_config.json``.
        image_size: of the model's configuration, for processors that keep a picture's proportions.

    Returns:
        ``shorter`` (pixels that the shorter edge is scaled to, or 0); ``size`` [height, width] of the outcome, which is
        the middle where there is a ``shorter``; ``resample`` (Pillow's number), ``scale``, ``mean``, ``std``.

    Raises:
        WrongUse: where the file contradicts itself.
    """
    if not processor or not processor.get("do_resize", True):
        return None
    shorter, size = _sizes(processor, image_size)
    if size is None:
        return None
    normalised = processor.get("do_normalize", True)
    mean, std = (
        list(processor.get(key) or [default] * 3) for key, default in (("image_mean", 0.0), ("image_std", 1.0))
    )
    if len(mean) != 3 or len(std) != 3 or not all(std):
        raise WrongUse(f"image_mean {mean} and image_std {std} are not those of three colours", "mend the processor")
    return {
        "shorter": shorter,
        "size": list(size),
        "resample": int(processor.get("resample") or _BILINEAR),
        "scale": float(processor.get("rescale_factor") or _OF_BYTES) if processor.get("do_rescale", True) else 1.0,
        "mean": mean if normalised else [0.0] * 3,
        "std": std if normalised else [1.0] * 3,
    }


def picture_size(processor: Mapping[str, Any], config: Any) -> tuple[int, int] | None:
    """Height and width that the model gets; ``None`` where nobody says."""
    image_size = getattr(config, "image_size", None)
    settings = picture_settings(processor, image_size)
    return (settings["size"][0], settings["size"][1]) if settings else _pair(image_size)


def _sizes(processor: Mapping[str, Any], image_size: Any) -> tuple[int, tuple[int, int] | None]:
    """The shorter edge that is scaled to, 0 where both are; and the outcome."""
    size = processor.get("size")
    if not isinstance(size, Mapping):
        return 0, _pair(size)
    if "height" in size and "width" in size:
        return 0, _pair((size["height"], size["width"]))
    edge = size.get("shortest_edge")
    if edge is None or "longest_edge" in size:
        return 0, _pair(image_size)
    if processor.get("do_center_crop"):
        crop = processor.get("crop_size") or edge
        return int(edge), _pair((crop["height"], crop["width"]) if isinstance(crop, Mapping) else crop)
    if edge >= _SMALL:
        return 0, _pair(edge)
    share = processor.get("crop_pct") or _DEFAULT_CROP_SHARE
    return int(edge / share), _pair(edge)


def _pair(size: Any) -> tuple[int, int] | None:
    if isinstance(size, int) and size > 0:
        return size, size
    if isinstance(size, Sequence) and len(size) == 2 and all(isinstance(each, int) and each > 0 for each in size):
        return int(size[0]), int(size[1])
    return None
