"""Triton model: texts in, numbered letters out.

Input ``text`` BYTES [batch, 1]: UTF-8. Outputs ``tokens`` INT64 [batch, characters], padded with 0; ``letters`` BYTES
[batch, characters], the same as characters, padded with ""; ``error`` BYTES [batch, 1], "" where the text can be used.
A request of which every text is bad is refused as a whole.

Parameters of ``config.pbtxt``: ``max_characters`` (default 64), longer texts are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import triton_python_backend_utils as pb_utils

from .answering import answer_items, whole_number
from .letters import DEFAULT_MAX_CHARACTERS, read_texts


class TritonPythonModel:
    """Cleans and numbers; all of it in ``letters.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads the parameters; one that makes no sense keeps the model from loading."""
        self.max_characters = whole_number(args, "max_characters", DEFAULT_MAX_CHARACTERS)

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""

        def read(items: list[bytes]) -> Sequence[Any]:
            return read_texts(items, self.max_characters)

        return [answer_items(request, "text", read, ("tokens", "letters")) for request in requests]
