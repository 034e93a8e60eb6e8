"""Every value inside a network while it answers: in torch, and in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch.export.graph_signature import InputKind

from maas_core.golden import Array, Tensors


def torch_values(program: torch.onnx.ONNXProgram, inputs: Tensors, outputs: Iterable[str]) -> dict[str, Array]:
    """What each node of the torch program gives, by the name that the exporter gives it in the graph.

    Args:
        program: what the exporter made.
        inputs: in the order of the graph.
        outputs: the graph's names of what the program returns, in order.
    """
    exported = program.exported_program
    if exported is None:
        return {}
    signature = exported.graph_signature
    given = iter(inputs.values())
    arguments = [
        torch.from_numpy(next(given)) if spec.kind == InputKind.USER_INPUT else _held(exported, str(spec.target))
        for spec in signature.input_specs
    ]
    recorder = _Recorder(exported.graph_module)
    with torch.inference_mode():
        recorder.run(*arguments)
    values = recorder.values
    for spec, name in zip(signature.output_specs, outputs, strict=False):
        if spec.arg.name in values:
            values[name] = values[spec.arg.name]
    return values


def graph_values(graph: onnx.ModelProto, inputs: Tensors) -> dict[str, Array]:
    """What each node of the ONNX graph gives, by name, with every optimization off.

    Raises:
        Exception: onnxruntime's own, of many types, where the graph does not run.
    """
    wanted = [name for node in graph.graph.node for name in node.output if name]
    told = {output.name for output in graph.graph.output}
    open_graph = onnx.ModelProto()
    open_graph.CopyFrom(graph)
    open_graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in told)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(open_graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken = {value.name for value in session.get_inputs()}
    values = session.run(wanted, {name: value for name, value in inputs.items() if name in taken})
    return {name: value for name, value in zip(wanted, values, strict=True) if isinstance(value, np.ndarray)}


def _held(exported: Any, name: str) -> torch.Tensor:
    """A weight, a buffer or a constant of the program."""
    value: torch.Tensor = exported.state_dict[name] if name in exported.state_dict else exported.constants[name]
    return value


class _Recorder(torch.fx.Interpreter):
    """Keeps what each node gives; of several results each, as ``NAME_0``, ``NAME_1``."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.values: dict[str, Array] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        """Runs one node of the program."""
        result = super().run_node(n)
        if n.op == "call_function":
            self.values.update(_arrays(n.name, result))
        return result


def _arrays(name: str, result: Any) -> Iterator[tuple[str, Array]]:
    if isinstance(result, torch.Tensor):
        yield name, result.detach().numpy().copy()
