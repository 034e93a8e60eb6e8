"""Running a graph that is not trusted yet: with a time limit, and without ONNX Runtime's own words on stderr."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnx
import onnxruntime

from maas_core.errors import WrongUse
from maas_core.golden import Tensors
from maas_export.onnx_text import as_bytes, as_text

_RUN_TIMEOUT_S = 60.0
_ONLY_FATAL = 4


class RunFailed(Exception):
    """The graph gave no answer; the message says why."""


class PlainSession:
    """A graph as it stands: ONNX Runtime on the CPU, with none of its optimizations.

    What is served is optimized, so that its answers come another way than these.

    Args:
        model: the graph; bytes are those of a file.

    Raises:
        WrongUse: where ONNX Runtime does not open it.
    """

    def __init__(self, model: onnx.ModelProto | bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = _ONLY_FATAL
        content = model if isinstance(model, bytes) else model.SerializeToString()
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no base class
            raise WrongUse(f"ONNX Runtime does not open the model: {_one_line(error)}", "export it again") from error

    @property
    def inputs(self) -> list[Any]:
        """Names, types and shapes of what the graph takes."""
        return list(self._session.get_inputs())

    @property
    def outputs(self) -> list[Any]:
        """Likewise of what it gives."""
        return list(self._session.get_outputs())

    def run(self, inputs: Tensors) -> Tensors:
        """One request's answer.

        Raises:
            RunFailed: where there is none within a minute.
        """
        names = [output.name for output in self.outputs]
        run_options = onnxruntime.RunOptions()
        run_options.log_severity_level = _ONLY_FATAL
        timer = threading.Timer(_RUN_TIMEOUT_S, lambda: setattr(run_options, "terminate", True))
        timer.daemon = True
        timer.start()
        given = {name: as_text(value) for name, value in inputs.items()}
        try:
            values = self._session.run(names, given, run_options)
        except Exception as error:  # onnxruntime's own errors share no base class
            raise RunFailed(_one_line(error)) from error
        finally:
            timer.cancel()
        return {name: as_bytes(np.asarray(value)) for name, value in zip(names, values, strict=True)}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]
