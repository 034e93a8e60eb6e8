"""Asking a TensorRT engine in this process, on a GPU; torch lends the memory."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from maas_core.dtypes import NUMPY_OF
from maas_core.errors import NotHeld
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, graph_inputs, graph_outputs
from maas_export.catalogue import Reference


def engine_answer(trt: ModuleType, plan: Path, spec: ModelSpec, device: str = "cuda") -> Reference:
    """The engine as a function of arrays.

    Args:
        trt: the module ``tensorrt``, of the version that built the engine.
        plan: the serialized engine.
        spec: names of inputs and outputs.
        device: where the tensors lie.

    Raises:
        NotHeld: where TensorRT does not load the engine here.
    """
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(plan.read_bytes())
    if engine is None:
        raise NotHeld(f"TensorRT does not load {plan}", "build it on this machine with this TensorRT")
    context = engine.create_execution_context()

    def answer(inputs: Tensors) -> Tensors:
        held = {
            tensor.name: torch.from_numpy(np.ascontiguousarray(inputs[tensor.name])).to(device)
            for tensor in graph_inputs(spec)
        }
        for name, value in held.items():
            if not context.set_input_shape(name, tuple(value.shape)):
                raise NotHeld(f"the engine refuses {name} of shape {list(value.shape)}", "widen `axes` in the spec")
            context.set_tensor_address(name, value.data_ptr())
        outputs = {}
        for tensor in graph_outputs(spec):
            shape = tuple(context.get_tensor_shape(tensor.name))
            outputs[tensor.name] = torch.from_numpy(np.empty(shape, NUMPY_OF[tensor.datatype])).to(device)
            context.set_tensor_address(tensor.name, outputs[tensor.name].data_ptr())
        _execute(context, device)
        return {name: _fetched(value) for name, value in outputs.items()}

    return answer


def _execute(context: object, device: str) -> None:
    stream = torch.cuda.current_stream(device)
    if not context.execute_async_v3(stream.cuda_stream):  # type: ignore[attr-defined]  # TensorRT carries no types
        raise NotHeld("the engine did not run", "look at what TensorRT says above")
    stream.synchronize()


def _fetched(value: torch.Tensor) -> Array:
    return value.cpu().numpy()
