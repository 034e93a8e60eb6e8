"""Does the configuration fit the graph? Asked once, when a model loads.

What is refused here is what NVIDIA's backend refuses (``ValidateInputs``, ``ValidateOutputs`` and the checks of the
sequence controls in its ``onnxruntime.cc``), so that a model which loads here loads on stock Triton, and the other way
round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ort_config import ControlConfig, ModelConfig, StateConfig, TensorConfig, config_name_of
from ort_errors import LoadError
from ort_graph import Graph, GraphTensor


def check_contract(config: ModelConfig, graph: Graph) -> None:
    """Raises :class:`LoadError` with the first contradiction between ``config`` and ``graph``."""
    for control in config.controls:
        _check_control(config, control, graph.inputs)
    _check_input_count(config, graph)
    acceptable = {**graph.inputs, **graph.initializers}
    for tensor in config.inputs:
        _check_input(config, tensor, acceptable)
    for tensor in config.outputs:
        _check_output(config, tensor, graph.outputs)
    for state in config.states:
        _check_state(config, state, graph)


def _check_control(config: ModelConfig, control: ControlConfig, inputs: Mapping[str, GraphTensor]) -> None:
    found = inputs.get(control.name)
    if found is None:
        raise LoadError(
            f"configuration specified sequence control '{control.name}', but model does not provide that input; "
            "leave the control out of control_input, or give the graph an input of that name"
        )
    dims = found.shape[1:] if config.batching else found.shape
    if dims != (1,):
        raise LoadError(
            f"unable to load model '{config.name}', sequence control '{control.name}' in model has dims {_text(dims)} "
            "but dims [1] is expected"
        )
    if control.datatype != found.datatype:
        raise LoadError(
            f"unable to load model '{config.name}', sequence control '{control.name}', the model expects data-type "
            f"{config_name_of(found.datatype)} but the model configuration specifies data-type "
            f"{config_name_of(control.datatype)}"
        )


def _check_input_count(config: ModelConfig, graph: Graph) -> None:
    expected = (
        sum(not tensor.optional for tensor in config.inputs)
        + len(config.batch_inputs)
        + len(config.controls)
        + len(config.states)
    )
    if expected != len(graph.inputs):
        raise LoadError(
            f"unable to load model '{config.name}', configuration expects {expected} inputs, model provides "
            f"{len(graph.inputs)}: {', '.join(sorted(graph.inputs))}"
        )


def _check_input(config: ModelConfig, tensor: TensorConfig, acceptable: Mapping[str, GraphTensor]) -> None:
    if tensor.optional and config.batching:
        raise LoadError(
            f"unable to load model '{config.name}', optional input '{tensor.name}' is not supported for models that "
            "support batching; set max_batch_size to 0"
        )
    found = acceptable.get(tensor.name)
    if found is None:
        raise LoadError(f"unexpected inference input '{tensor.name}', allowed inputs are: {_names(acceptable)}")
    _check_datatype(config, "input", tensor.name, tensor.datatype, found)
    if not tensor.ragged:
        _check_shape(config, tensor, found, exact=False)
    elif tensor.optional or found.shape != (-1,):
        raise LoadError(
            f"unable to load model '{config.name}', configuration expects model provides input with shape [-1] for "
            f"ragged input '{tensor.name}', model provides "
            f"{'an optional input' if tensor.optional else _text(found.shape)}"
        )


def _check_output(config: ModelConfig, tensor: TensorConfig, outputs: Mapping[str, GraphTensor]) -> None:
    found = outputs.get(tensor.name)
    if found is None:
        raise LoadError(f"unexpected inference output '{tensor.name}', allowed outputs are: {_names(outputs)}")
    _check_datatype(config, "output", tensor.name, tensor.datatype, found)
    if tensor.name not in config.scattered_outputs:
        _check_shape(config, tensor, found, exact=True)


def _check_state(config: ModelConfig, state: StateConfig, graph: Graph) -> None:
    for names, name, tensors in (
        ("input", state.input_name, graph.inputs),
        ("output", state.output_name, graph.outputs),
    ):
        if name not in tensors:
            raise LoadError(f"unexpected inference {names} state '{name}', allowed {names}s are: {_names(tensors)}")
        _check_datatype(config, f"{names} state", name, state.datatype, tensors[name])


def _check_datatype(config: ModelConfig, role: str, name: str, datatype: str, found: GraphTensor) -> None:
    if datatype != found.datatype:
        raise LoadError(
            f"unable to load model '{config.name}', configuration expects datatype {config_name_of(datatype)} for "
            f"{role} '{name}', model provides {config_name_of(found.datatype)}"
        )


def _check_shape(config: ModelConfig, tensor: TensorConfig, found: GraphTensor, *, exact: bool) -> None:
    if not found.shape:
        if any(dim != 1 for dim in tensor.dims):
            raise LoadError(
                f"unable to load model '{config.name}', scalar tensor '{tensor.name}' should only provide 1 in the "
                "model configuration when the model doesn't support batching; model configuration provided: "
                f"{_text(tensor.dims)}"
            )
        return
    if config.batching and (not found.shape or found.shape[0] != -1):
        raise LoadError(
            f"model '{config.name}', tensor '{tensor.name}': for the model to support batching the shape should have "
            "at least 1 dimension and the first dimension must be -1; but shape expected by the model is "
            f"{_text(found.shape)}; set max_batch_size to 0, or export the graph with a dynamic first axis"
        )
    wanted = (-1, *tensor.dims) if config.batching else tensor.dims
    if not _fits(found.shape, wanted, exact=exact):
        explanation = (
            "an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making "
            f"complete shape {_text(wanted)}"
            if config.batching
            else f"shape {_text(wanted)}"
        )
        raise LoadError(
            f"model '{config.name}', tensor '{tensor.name}': the model expects {len(found.shape)} dimensions (shape "
            f"{_text(found.shape)}) but the model configuration specifies {len(wanted)} dimensions ({explanation})"
        )


def _fits(found: Sequence[int], wanted: Sequence[int], *, exact: bool) -> bool:
    return len(found) == len(wanted) and all(
        have == want or (have == -1 and not exact) for have, want in zip(found, wanted, strict=True)
    )


def _text(shape: Iterable[int]) -> str:
    return "[" + ",".join(str(dim) for dim in shape) + "]"


def _names(tensors: Mapping[str, GraphTensor]) -> str:
    return ", ".join(sorted(tensors))
