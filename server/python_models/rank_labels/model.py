"""Triton model: logits in, the likeliest labels out.

Inputs ``logits`` FP32 [batch, classes] and ``error`` BYTES [batch, 1]; outputs ``label`` BYTES [batch, top_k] and
``score`` FP32 [batch, top_k], best first; "" and 0 for rows that have an error. The names of the classes are the lines
of ``labels.txt`` beside this file.

Parameters of ``config.pbtxt``: ``top_k`` (default 3), the last dim of both outputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .answering import failure, refusal, whole_number
from .ranking import rank

_DEFAULT_TOP_K = 3
_LABELS_FILE = "labels.txt"


class TritonPythonModel:
    """Softmax, the best classes, and their names; all of it in ``ranking.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads labels and parameters; what does not fit the config keeps the model from loading."""
        config = json.loads(args["model_config"])
        self.labels = _read_labels(Path(__file__).with_name(_LABELS_FILE))
        classes = _dims(config["input"], "logits")[-1]
        if len(self.labels) != classes:
            raise pb_utils.TritonModelException(
                f"{_LABELS_FILE} names {len(self.labels)} classes, the config gives logits of {classes}"
            )
        self.top_k = whole_number(args, "top_k", _DEFAULT_TOP_K)
        if self.top_k > classes:
            raise pb_utils.TritonModelException(f"parameter top_k is {self.top_k}, there are only {classes} classes")
        for output in ("label", "score"):
            dims = _dims(config["output"], output)
            if dims != [self.top_k]:
                raise pb_utils.TritonModelException(f"parameter top_k is {self.top_k}, {output} has the dims {dims}")

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        logits = pb_utils.get_input_tensor_by_name(request, "logits")
        error = pb_utils.get_input_tensor_by_name(request, "error")
        if logits is None or error is None:
            return refusal("inputs 'logits' and 'error' are both needed")
        errors = [text.decode(errors="replace") for text in error.as_numpy().ravel().tolist()]
        try:
            names, scores = rank(logits.as_numpy(), errors, self.labels, self.top_k)
        except ValueError as reason:
            return failure(str(reason))
        return pb_utils.InferenceResponse([pb_utils.Tensor("label", names), pb_utils.Tensor("score", scores)])


def _read_labels(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise pb_utils.TritonModelException(
            f"{path.name} is missing beside model.py; export the model again"
        ) from error


def _dims(tensors: Sequence[dict[str, Any]], name: str) -> list[int]:
    for tensor in tensors:
        if tensor["name"] == name:
            return [int(dim) for dim in tensor["dims"]]
    raise pb_utils.TritonModelException(f"the config has no tensor {name!r}")
