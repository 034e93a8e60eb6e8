"""What the Triton shells of the Python models have in common; needs Triton's own module."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

_REASONS_SHOWN = 3


def parameter(args: dict[str, str], name: str, default: object) -> str:
    """A parameter of ``config.pbtxt``, from what Triton gives ``initialize``."""
    given = json.loads(args["model_config"]).get("parameters", {}).get(name, {})
    return str(given.get("string_value", default))


def whole_number(args: dict[str, str], name: str, default: int) -> int:
    """A parameter that is a whole number above 0; any other keeps the model from loading."""
    given = parameter(args, name, default)
    if not given.isdecimal() or int(given) == 0:
        raise pb_utils.TritonModelException(f"parameter {name} must be a whole number above 0, got {given!r}")
    return int(given)


def share(args: dict[str, str], name: str, default: float) -> float:
    """A parameter of 0 to 1; any other keeps the model from loading."""
    given = parameter(args, name, default)
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise pb_utils.TritonModelException(f"parameter {name} must be a number of 0 to 1, got {given!r}")
    return value


def text_tensor(name: str, texts: Sequence[str]) -> pb_utils.Tensor:
    """BYTES [texts, 1]."""
    return pb_utils.Tensor(name, np.array([[text.encode()] for text in texts], dtype=np.object_))


def refusal(reason: str) -> pb_utils.InferenceResponse:
    """The answer to a request that is the caller's mistake: INVALID_ARG, over HTTP 400."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason, pb_utils.TritonError.INVALID_ARG))


def failure(reason: str) -> pb_utils.InferenceResponse:
    """The answer to a request that the server could not answer."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(reason, pb_utils.TritonError.INTERNAL))


def summary(errors: Sequence[str], what: str) -> str:
    """One line for a request whose items are all bad; ``what`` is an item, e.g. ``picture``."""
    if len(errors) == 1:
        return errors[0]
    shown = [f"{what} {position}: {error}" for position, error in enumerate(errors[:_REASONS_SHOWN])]
    left = len(errors) - len(shown)
    return "; ".join(shown) + (f"; and {left} more" if left else "")


def answer_items(
    request: pb_utils.InferenceRequest, name: str, read: Callable[[list[bytes]], Sequence[Any]], outputs: Sequence[str]
) -> pb_utils.InferenceResponse:
    """The answer of a preprocessing, item by item: a bad item has its reason in ``error``, the others their values.

    Args:
        request: what was asked.
        name: of the input, BYTES [batch, 1]; also what an item is called.
        read: gives an array for each of ``outputs`` and, last, the reasons, "" where an item is good.
        outputs: the names of the arrays.

    Returns:
        A refusal where the input is missing, or every item of the request is bad.
    """
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return refusal(f"input {name!r} is missing")
    *values, errors = read(tensor.as_numpy().ravel().tolist())
    if errors and all(errors):
        return refusal(summary(errors, name))
    tensors = [pb_utils.Tensor(output, value) for output, value in zip(outputs, values, strict=True)]
    return pb_utils.InferenceResponse([*tensors, text_tensor("error", errors)])
