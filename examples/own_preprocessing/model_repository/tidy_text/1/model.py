"""Triton model: texts in, tidy texts out.

Input ``text`` BYTES [batch, 1], UTF-8; outputs ``tidy`` and ``error`` BYTES [batch, 1], one of them "". A request of
which every text is bad is refused as a whole. Parameter of ``config.pbtxt``: ``max_characters``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import triton_python_backend_utils as pb_utils

from .tidying import tidy_all


class TritonPythonModel:
    """Speaks Triton; what it computes stands in ``tidying.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the parameter; an error here keeps the model from loading, and ``maas explain`` shows it."""
        parameters = json.loads(args["model_config"])["parameters"]
        self.max_characters = int(parameters["max_characters"]["string_value"])

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; what is raised here would be the error of all of them."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        texts = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().ravel().tolist()
        tidied, errors = tidy_all(texts, self.max_characters)
        if texts and all(errors):
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError("; ".join(errors), pb_utils.TritonError.INVALID_ARG)
            )
        return pb_utils.InferenceResponse([_texts("tidy", tidied), _texts("error", errors)])


def _texts(name: str, texts: Sequence[str]) -> pb_utils.Tensor:
    return pb_utils.Tensor(name, np.array([[text.encode()] for text in texts], dtype=np.object_))
