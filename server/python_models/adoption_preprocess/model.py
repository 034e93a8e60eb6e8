"""Triton model: observations as a table has them in, shares out.

Input ``observation`` BYTES [batch, 1]: "12 %", " 0.12 ", "" or "n/a". Outputs ``share`` FP32 [batch, 1] (0 to 1; 0
where none is known), ``known`` BOOL [batch, 1] and ``error`` BYTES [batch, 1], "" where the observation was read or is
missing. A request of which every observation is bad is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton_python_backend_utils as pb_utils

from .answering import refusal, summary, text_tensor
from .shares import read_shares


class TritonPythonModel:
    """Cleans and reads; all of it in ``shares.py``."""

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        tensor = pb_utils.get_input_tensor_by_name(request, "observation")
        if tensor is None:
            return refusal("input 'observation' is missing")
        share, known, errors = read_shares(tensor.as_numpy().ravel().tolist())
        if errors and all(errors):
            return refusal(summary(errors, "observation"))
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor("share", share), pb_utils.Tensor("known", known), text_tensor("error", errors)]
        )
