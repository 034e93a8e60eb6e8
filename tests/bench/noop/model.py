"""A Python model that computes nothing: what server and stub cost, without ONNX Runtime."""

from __future__ import annotations

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers every request with the same zeros."""

    def initialize(self, args: dict[str, str]) -> None:
        output = json.loads(args["model_config"])["output"][0]
        self._output = pb_utils.Tensor(output["name"], np.zeros([1, *map(int, output["dims"])], np.float32))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        # A response may be sent once only.
        return [pb_utils.InferenceResponse([self._output]) for _ in requests]
