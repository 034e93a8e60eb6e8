"""Triton model: texts in, numbered letters out.

Input ``text`` BYTES [batch, 1]: UTF-8. Outputs ``tokens`` INT64 [batch, characters], padded with 0; ``letters`` BYTES
[batch, characters], the same as characters, padded with ""; ``error`` BYTES [batch, 1], "" where the text can be used.
A request of which every text is bad is refused as a whole.

Parameters of ``config.pbtxt``: ``max_characters`` (default 64), longer texts are refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton_python_backend_utils as pb_utils

from .answering import refusal, summary, text_tensor, whole_number
from .letters import DEFAULT_MAX_CHARACTERS, read_texts


class TritonPythonModel:
    """Cleans and numbers; all of it in ``letters.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the parameters; one that makes no sense keeps the model from loading."""
        self.max_characters = whole_number(args, "max_characters", DEFAULT_MAX_CHARACTERS)

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        tensor = pb_utils.get_input_tensor_by_name(request, "text")
        if tensor is None:
            return refusal("input 'text' is missing")
        tokens, letters, errors = read_texts(tensor.as_numpy().ravel().tolist(), self.max_characters)
        if errors and all(errors):
            return refusal(summary(errors, "text"))
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("tokens", tokens),
                pb_utils.Tensor("letters", letters),
                text_tensor("error", errors),
            ]
        )
