"""Triton model: boxes in the square that the detector saw in, boxes in the given picture with their digits out.

Inputs ``boxes`` FP32 [batch, boxes, 4], ``score`` FP32 [batch, boxes], ``class_index`` INT32 [batch, boxes], ``frame``
FP32 [batch, 5] and ``error`` BYTES [batch, 1]; outputs ``boxes`` and ``score`` of the same shape, ``label`` BYTES
[batch, boxes] and ``count`` INT32 [batch, 1]. The first ``count`` boxes are meant, the rest is 0 and "". The names of
the classes are the lines of ``labels.txt`` beside this file.

Parameters of ``config.pbtxt``: ``least_score`` (default 0.4), below which a box is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import triton_python_backend_utils as pb_utils

from .answering import failure, refusal, share
from .boxes import DEFAULT_LEAST_SCORE, in_pictures

_INPUTS = ("boxes", "score", "class_index", "frame", "error")
_OUTPUTS = ("boxes", "label", "score", "count")


class TritonPythonModel:
    """Filters by score and maps back; all of it in ``boxes.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads labels and parameters; one that makes no sense keeps the model from loading."""
        self.least_score = share(args, "least_score", DEFAULT_LEAST_SCORE)
        path = Path(__file__).with_name("labels.txt")
        try:
            self.labels = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise pb_utils.TritonModelException(
                f"{path.name} is missing beside model.py; export the model again"
            ) from error

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        given = [pb_utils.get_input_tensor_by_name(request, name) for name in _INPUTS]
        arrays = [tensor.as_numpy() for tensor in given if tensor is not None]
        if len(arrays) < len(_INPUTS):
            return refusal(f"inputs {', '.join(_INPUTS)} are all needed")
        boxes, score, index, frame, error = arrays
        errors = [text.decode(errors="replace") for text in error.ravel().tolist()]
        try:
            found = in_pictures(boxes, score, index, frame, errors, self.labels, self.least_score)
        except ValueError as reason:
            return failure(str(reason))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, values) for name, values in zip(_OUTPUTS, found, strict=True)]
        )
