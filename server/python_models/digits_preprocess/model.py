"""Triton model: pictures of digits in, the ink of each digit out.

Input ``picture`` BYTES [batch, 1]: PNG or JPEG files. Outputs ``image`` FP32 [batch, 1, 28, 28] and ``error`` BYTES
[batch, 1], "" where the picture was read. A request of which every picture is bad is refused as a whole.

Parameters of ``config.pbtxt``: ``max_pixels`` (default 25000000) refuses larger pictures from their header.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from .answering import answer_items, whole_number
from .picture import DEFAULT_MAX_PIXELS, read_digits


class TritonPythonModel:
    """Decodes, finds the ink, and normalises it; all of it in ``picture.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the parameters; one that makes no sense keeps the model from loading."""
        self.max_pixels = whole_number(args, "max_pixels", DEFAULT_MAX_PIXELS)

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""

        def read(items: list[bytes]) -> Sequence[Any]:
            return read_digits(items, self.max_pixels)

        return [answer_items(request, "picture", read, ("image",)) for request in requests]
