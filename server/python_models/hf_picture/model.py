"""Triton model: pictures in, the numbers that a network of Hugging Face's libraries takes out.

Input ``picture`` BYTES [batch, 1]: PNG or JPEG files. Outputs ``pixel_values`` FP32 [batch, 3, height, width] and
``error`` BYTES [batch, 1], "" where the picture was read. A request of which every picture is bad is refused as
a whole.

How pictures are scaled and normalised stands in ``picture.json`` beside this file. Parameters of ``config.pbtxt``:
``max_pixels`` (default 25000000) refuses larger pictures from their header.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .answering import answer_items, whole_number
from .decoding import DEFAULT_MAX_PIXELS
from .resizing import read_pictures, read_settings

_SETTINGS_FILE = "picture.json"


class TritonPythonModel:
    """Decodes, scales and normalises; all of it in ``resizing.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads parameters and settings; what makes no sense keeps the model from loading."""
        self.max_pixels = whole_number(args, "max_pixels", DEFAULT_MAX_PIXELS)
        try:
            self.settings = read_settings(Path(__file__).with_name(_SETTINGS_FILE))
        except ValueError as error:
            raise pb_utils.TritonModelException(f"{error}; export the model again") from error

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""

        def read(items: list[bytes]) -> Sequence[Any]:
            return read_pictures(items, self.settings, self.max_pixels)

        return [answer_items(request, "picture", read, ("pixel_values",)) for request in requests]
