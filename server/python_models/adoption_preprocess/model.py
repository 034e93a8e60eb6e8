"""Triton model: observations as a table has them in, shares out.

Input ``observation`` BYTES [batch, 1]: "12 %", " 0.12 ", "" or "n/a". Outputs ``share`` FP32 [batch, 1] (0 to 1; 0
where none is known), ``known`` BOOL [batch, 1] and ``error`` BYTES [batch, 1], "" where the observation was read or is
missing. A request of which every observation is bad is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton_python_backend_utils as pb_utils

from .answering import answer_items
from .shares import read_shares


class TritonPythonModel:
    """Cleans and reads; all of it in ``shares.py``."""

    def execute(self, requests: Sequence[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """One response for each request; nothing is raised, since Triton 2.51 leaks memory when a model raises."""
        return [answer_items(request, "observation", read_shares, ("share", "known")) for request in requests]
