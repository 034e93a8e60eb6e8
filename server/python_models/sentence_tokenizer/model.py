"""Triton model: texts in, numbered word pieces out.

Input ``text`` BYTES [batch, 1]: UTF-8. Outputs ``input_ids`` INT64 [batch, tokens]; ``attention_mask`` INT64
[batch, tokens], 1 for a word piece and 0 for padding; ``error`` BYTES [batch, 1], "" where the text can be used. A
request of which every text is bad is refused as a whole.

Parameters of ``config.pbtxt``: ``max_tokens`` (default 256), what comes after that many is not read; ``pad`` (default
0), the number behind the end of a text; ``clean`` (default true), whether white space and invisible characters are
tidied up first. The vocabulary is ``tokenizer.json`` beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils

from .answering import answer_items, parameter, whole_number
from .wordpieces import DEFAULT_MAX_TOKENS, load_tokenizer, read_sentences

_TOKENIZER_FILE = "tokenizer.json"


class TritonPythonModel:
    """Cleans and cuts into word pieces; all of it in ``wordpieces.py``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Reads parameters and vocabulary; what cannot be read keeps the model from loading."""
        self.max_tokens = whole_number(args, "max_tokens", DEFAULT_MAX_TOKENS)
        self.pad = _number(parameter(args, "pad", "0"))
        self.is_cleaned = parameter(args, "clean", "true") == "true"
        try:
            self.tokenizer = load_tokenizer(Path(__file__).with_name(_TOKENIZER_FILE), self.max_tokens)
        except ValueError as error:
            raise pb_utils.TritonModelException(f"{error}; export the model again") from error

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""

        def read(items: list[bytes]) -> Sequence[Any]:
            return read_sentences(items, self.tokenizer, self.max_tokens, pad=self.pad, is_cleaned=self.is_cleaned)

        return [answer_items(request, "text", read, ("input_ids", "attention_mask")) for request in requests]


def _number(given: str) -> int:
    if not given.isdecimal():
        raise pb_utils.TritonModelException(f"parameter pad must be a whole number from 0, got {given!r}")
    return int(given)
