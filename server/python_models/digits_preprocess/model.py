"""Triton model: pictures of digits in, the ink of each digit out.

Input ``picture`` BYTES [batch, 1]: PNG or JPEG files. Outputs ``image`` FP32 [batch, 1, 28, 28] and ``error`` BYTES
[batch, 1], "" where the picture was read. A request of which every picture is bad is refused as a whole.

Parameters of ``config.pbtxt``: ``max_pixels`` (default 25000000) refuses larger pictures from their header.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import triton_python_backend_utils as pb_utils

from .picture import DEFAULT_MAX_PIXELS, read_digits

_REASONS_SHOWN = 3


class TritonPythonModel:
    """Decodes, finds the ink, and normalises it; all of it in ``picture.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the parameters; one that makes no sense keeps the model from loading."""
        parameters = json.loads(args["model_config"]).get("parameters", {})
        given = parameters.get("max_pixels", {}).get("string_value", str(DEFAULT_MAX_PIXELS))
        if not given.isdecimal() or int(given) == 0:
            raise pb_utils.TritonModelException(f"parameter max_pixels must be a whole number above 0, got {given!r}")
        self.max_pixels = int(given)

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        tensor = pb_utils.get_input_tensor_by_name(request, "picture")
        if tensor is None:
            return _refusal("input 'picture' is missing")
        digits, errors = read_digits(tensor.as_numpy().ravel().tolist(), self.max_pixels)
        if errors and all(errors):
            return _refusal(_summary(errors))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("image", digits),
                pb_utils.Tensor("error", np.array([[text.encode()] for text in errors], dtype=np.object_)),
            ]
        )


def _refusal(reason: str) -> pb_utils.InferenceResponse:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason, pb_utils.TritonError.INVALID_ARG))


def _summary(errors: Sequence[str]) -> str:
    """One line for a request whose pictures are all bad."""
    if len(errors) == 1:
        return errors[0]
    shown = [f"picture {position}: {error}" for position, error in enumerate(errors[:_REASONS_SHOWN])]
    left = len(errors) - len(shown)
    return "; ".join(shown) + (f"; and {left} more" if left else "")
