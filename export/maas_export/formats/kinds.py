"""The names of the formats."""

from __future__ import annotations

ONNX = "onnx"
INT8 = "onnx-int8"
ONNX_TENSORRT = "onnx-tensorrt"
TENSORRT = "tensorrt"
FORMATS = (ONNX, INT8, ONNX_TENSORRT, TENSORRT)
"""The forms of a network; the last three are made from its verified bundle of the first."""
