"""An ONNX graph in the clothes of a torch module, so that a model's own evaluation can be asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from maas_core.spec import ModelSpec, graph_inputs, graph_outputs


class SessionModule(nn.Module):
    """``forward`` takes the spec's inputs in order and returns its outputs in order, one alone without a tuple.

    Args:
        graph: the ONNX file.
        spec: names of inputs and outputs.
    """

    def __init__(self, graph: Path, spec: ModelSpec) -> None:
        super().__init__()
        self._session = open_session(graph)
        self._inputs = [tensor.name for tensor in graph_inputs(spec)]
        self._outputs = [tensor.name for tensor in graph_outputs(spec)]

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Runs the graph."""
        feeds = {name: value.numpy() for name, value in zip(self._inputs, inputs, strict=True)}
        outputs: Sequence[Tensor] = [torch.from_numpy(value) for value in self._session.run(self._outputs, feeds)]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def open_session(graph: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """The graph in ONNX Runtime on the CPU.

    Args:
        graph: the ONNX file.
        threads: for one run; 0 leaves the choice to ONNX Runtime.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
