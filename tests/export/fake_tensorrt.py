"""TensorRT's runtime as far as it is used, over ordinary memory: one output, the double of the one input."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


class Logger:
    """TensorRT wants one."""

    ERROR = 1

    def __init__(self, severity: int) -> None:
        self.severity = severity


class Runtime:
    """Loads any engine but an empty one."""

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        return Engine() if plan else None


class Engine:
    """Takes up to 4 rows."""

    def create_execution_context(self) -> Context:
        return Context()


class Context:
    """Reads and writes at the addresses that it is given."""

    def __init__(self) -> None:
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shape = shape
        return shape[0] <= 4

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._shape

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        image, logits = (self._array(name) for name in ("image", "logits"))
        logits[:] = 2 * image
        return True

    def _array(self, name: str) -> np.ndarray[Any, Any]:
        count = int(np.prod(self._shape))
        return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self._addresses[name]))
