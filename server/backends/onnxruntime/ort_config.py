"""The parts of a model's ``config.pbtxt`` that this backend acts on, read from the JSON that Triton hands over.

Names and meaning: Triton's ``model_config.proto`` (``ModelInput``, ``ModelOutput``, ``BatchInput``,
``ModelSequenceBatching``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TensorConfig:
    """One entry of ``input`` or ``output``.

    Attributes:
        datatype: as in requests: ``FP32``, ``BYTES``, …
        dims: without the batch axis, as the graph sees them (``reshape`` applied); -1 is any size.
        optional: the request may leave this input out.
        ragged: requests of different sizes are batched by laying them end to end.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = False
    ragged: bool = False


@dataclass(frozen=True)
class StateConfig:
    """One entry of ``sequence_batching.state``: a step's ``output_name`` is the next step's ``input_name``.

    Attributes:
        dims: without the batch axis; -1 is any size.
        has_initial_value: whether ``initial_state`` says what the first step gets; else it gets zeros.
    """

    input_name: str
    output_name: str
    datatype: str
    dims: tuple[int, ...]
    has_initial_value: bool


@dataclass(frozen=True)
class ControlConfig:
    """One control that the sequence batcher sends with each request.

    Attributes:
        kind: ``CONTROL_SEQUENCE_START``, ``…_END``, ``…_READY`` or ``…_CORRID``.
        off: the value that means "no" (start, end and ready only), in the control's own datatype.
    """

    name: str
    kind: str
    datatype: str
    off: float = 0


@dataclass(frozen=True)
class BatchInputConfig:
    """One entry of ``batch_input``: a tensor made from the shapes of a batch's requests."""

    kind: str
    target_names: tuple[str, ...]
    datatype: str
    source_input: str


@dataclass(frozen=True)
class ModelConfig:
    """What ``config.pbtxt`` says, after auto-completion."""

    name: str
    max_batch_size: int
    inputs: tuple[TensorConfig, ...]
    outputs: tuple[TensorConfig, ...]
    batch_inputs: tuple[BatchInputConfig, ...]
    scattered_outputs: Mapping[str, str]
    """Outputs of ``batch_output``, each with the input whose shapes tell how to cut it."""
    is_sequence: bool
    states: tuple[StateConfig, ...]
    controls: tuple[ControlConfig, ...]
    max_sequence_idle_s: float
    decoupled: bool
    parameters: Mapping[str, str]
    graph_optimization_level: int
    gpu_accelerators: tuple[Mapping[str, Any], ...]
    cpu_accelerators: tuple[Mapping[str, Any], ...]
    op_libraries: tuple[str, ...]
    model_filename: str

    @property
    def batching(self) -> bool:
        """Whether tensors carry a leading batch axis."""
        return self.max_batch_size > 0


def datatype_of(config_name: str) -> str:
    """``TYPE_FP32`` -> ``FP32``, ``TYPE_STRING`` -> ``BYTES``."""
    return "BYTES" if config_name == "TYPE_STRING" else config_name.removeprefix("TYPE_")


def config_name_of(datatype: str) -> str:
    """The inverse of :func:`datatype_of`."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def parse_config(config: Mapping[str, Any]) -> ModelConfig:
    """Reads the JSON form of a ``ModelConfig`` message; fields that this backend does not act on are left alone."""
    sequence = config.get("sequence_batching") or {}
    optimization = config.get("optimization") or {}
    accelerators = optimization.get("execution_accelerators") or {}
    return ModelConfig(
        name=config["name"],
        max_batch_size=int(config.get("max_batch_size", 0)),
        inputs=tuple(_tensor(entry) for entry in config.get("input", ())),
        outputs=tuple(_tensor(entry) for entry in config.get("output", ())),
        batch_inputs=tuple(_batch_input(entry) for entry in config.get("batch_input", ())),
        scattered_outputs={
            name: entry["source_input"][0] for entry in config.get("batch_output", ()) for name in entry["target_name"]
        },
        is_sequence="sequence_batching" in config,
        states=tuple(_state(entry) for entry in sequence.get("state", ())),
        controls=tuple(
            _control(entry["name"], control)
            for entry in sequence.get("control_input", ())
            for control in entry["control"]
        ),
        max_sequence_idle_s=int(sequence.get("max_sequence_idle_microseconds", 0)) / 1e6,
        decoupled=bool((config.get("model_transaction_policy") or {}).get("decoupled", False)),
        parameters={key: value.get("string_value", "") for key, value in (config.get("parameters") or {}).items()},
        graph_optimization_level=int((optimization.get("graph") or {}).get("level", 0)),
        gpu_accelerators=tuple(accelerators.get("gpu_execution_accelerator", ())),
        cpu_accelerators=tuple(accelerators.get("cpu_execution_accelerator", ())),
        op_libraries=tuple((config.get("model_operations") or {}).get("op_library_filename", ())),
        model_filename=config.get("default_model_filename") or "model.onnx",
    )


def _tensor(entry: Mapping[str, Any]) -> TensorConfig:
    reshape = entry.get("reshape")
    dims = entry["dims"] if reshape is None else reshape.get("shape", ())
    return TensorConfig(
        name=entry["name"],
        datatype=datatype_of(entry["data_type"]),
        dims=tuple(int(dim) for dim in dims),
        optional=bool(entry.get("optional", False)),
        ragged=bool(entry.get("allow_ragged_batch", False)),
    )


def _state(entry: Mapping[str, Any]) -> StateConfig:
    return StateConfig(
        input_name=entry["input_name"],
        output_name=entry["output_name"],
        datatype=datatype_of(entry["data_type"]),
        dims=tuple(int(dim) for dim in entry["dims"]),
        has_initial_value=bool(entry.get("initial_state")),
    )


def _control(name: str, control: Mapping[str, Any]) -> ControlConfig:
    kind = control.get("kind", "CONTROL_SEQUENCE_START")
    for field, datatype in (("int32_false_true", "INT32"), ("fp32_false_true", "FP32"), ("bool_false_true", "BOOL")):
        if control.get(field):
            return ControlConfig(name, kind, datatype, off=control[field][0])
    return ControlConfig(name, kind, datatype_of(control.get("data_type", "TYPE_INVALID")))


def _batch_input(entry: Mapping[str, Any]) -> BatchInputConfig:
    return BatchInputConfig(
        kind=entry.get("kind", "BATCH_ELEMENT_COUNT"),
        target_names=tuple(entry["target_name"]),
        datatype=datatype_of(entry["data_type"]),
        source_input=entry["source_input"][0],
    )
