"""Triton model: how badly a picture could be told again in, whether it is an anomaly out.

Inputs ``told_error`` FP32 [batch, 1] and ``error`` BYTES [batch, 1]; outputs ``score`` FP32 [batch, 1] and
``is_anomaly`` BOOL [batch, 1], 0 and false for rows that have an error.

Parameters of ``config.pbtxt``: ``threshold``, a number of 0 to 1, above which a score is an anomaly.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton_python_backend_utils as pb_utils

from .answering import failure, refusal, share
from .judging import DEFAULT_THRESHOLD, judge


class TritonPythonModel:
    """Holds the score against the threshold; all of it in ``judging.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the parameter; one that makes no sense keeps the model from loading."""
        self.threshold = share(args, "threshold", DEFAULT_THRESHOLD)

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        told_error = pb_utils.get_input_tensor_by_name(request, "told_error")
        error = pb_utils.get_input_tensor_by_name(request, "error")
        if told_error is None or error is None:
            return refusal("inputs 'told_error' and 'error' are both needed")
        errors = [text.decode(errors="replace") for text in error.as_numpy().ravel().tolist()]
        try:
            score, is_anomaly = judge(told_error.as_numpy(), errors, self.threshold)
        except ValueError as reason:
            return failure(str(reason))
        return pb_utils.InferenceResponse([pb_utils.Tensor("score", score), pb_utils.Tensor("is_anomaly", is_anomaly)])
