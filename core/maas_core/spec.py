"""One spec per model: names, dtypes, dims, tolerances, labels and objectives, declared once.

ONNX axes, ``config.pbtxt``, labels, golden samples and the client's checks derive from it. No torch here: the torch
module stands next to its spec in ``maas_export.models``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Dim = int | str
"""A fixed size, or the name of a dynamic axis."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: the name in the ONNX graph, in ``config.pbtxt`` and for callers.
        datatype: Triton's name, e.g. ``FP32`` or ``BYTES``.
        dims: sizes without the batch axis; a string names a dynamic axis.
        description: what the numbers mean, with unit and range.
        labels: names of the classes, for the output whose last axis counts classes.
        optional: whether a request may leave this input out.
    """

    name: str
    datatype: str
    dims: tuple[Dim, ...]
    description: str
    labels: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Tolerance:
    """How far two runs may differ: ``|got - wanted| <= absolute + relative * |wanted|``, for every element."""

    absolute: float
    relative: float


@dataclass(frozen=True)
class Objective:
    """A service-level objective for one request at the model's usual load."""

    p99_ms: float
    error_rate: float = 0.001


@dataclass(frozen=True)
class Serving:
    """What stands in ``config.pbtxt`` beside inputs and outputs.

    Attributes:
        max_batch_size: 0 for a model without a batch axis.
        instances: executions that may run at the same time.
        intra_op_threads: threads that one execution may use (ONNX Runtime's ``intra_op_thread_count``).
        queue_delay_us: how long the dynamic batcher may hold a request back to fill a batch; a lone request pays it.
        parameters: further ``parameters`` of the config.
    """

    max_batch_size: int
    instances: int = 1
    intra_op_threads: int = 1
    dynamic_batching: bool = True
    queue_delay_us: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One step of an ensemble: ``{tensor of the step: tensor of the ensemble}`` on both sides."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class StateSpec:
    """One tensor that the server keeps from a sequence's step to its next (Triton's implicit state), at first zero.

    Where a model has several, inputs and outputs must sort alike by name: Triton pairs them so (server#8586).

    Attributes:
        input: the graph's input that takes the state.
        output: the graph's output that gives the next one.
        dims: sizes without the batch axis.
    """

    input: str
    output: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class SequenceBatching:
    """A stateful model: the requests of one caller's sequence follow each other, each with the state of the last.

    Attributes:
        states: what is kept between the steps.
        max_idle_s: how long a sequence may be silent before its state is dropped.
        max_candidates: how many sequences one instance may have at a time (the *oldest* strategy).
    """

    states: tuple[StateSpec, ...]
    max_idle_s: float = 60.0
    max_candidates: int = 64


@dataclass(frozen=True)
class AxisSizes:
    """How long a dynamic axis is: at least, usually, at most."""

    min: int
    opt: int
    max: int


@dataclass(frozen=True)
class ModelSpec:
    """All that is declared about one served model.

    Attributes:
        backend: ``onnxruntime``, ``python``, or ``ensemble`` (then ``steps`` says of what).
        tolerances: by Triton datatype of the output; a datatype that is missing must answer exactly.
        refuses_nonfinite: whether NaN or infinity in an input is the caller's mistake.
        sequence: how a stateful model keeps its state; ``None`` for all others.
        decoupled: whether one request gets any number of answers, as a stream.
        calls: the models that a Python model asks while it answers (Triton's business logic scripting).
        axes: how long dynamic axes are, by name; an engine is built for these. What is missing is taken from samples.
    """

    name: str
    task: str
    summary: str
    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    serving: Serving
    tolerances: Mapping[str, Tolerance]
    objective: Objective
    steps: tuple[Step, ...] = ()
    refuses_nonfinite: bool = False
    sequence: SequenceBatching | None = None
    decoupled: bool = False
    calls: tuple[str, ...] = ()
    axes: Mapping[str, AxisSizes] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names of the first output that has any."""
        return next((output.labels for output in self.outputs if output.labels), ())


def graph_inputs(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """What the ONNX graph takes: the inputs, then the states."""
    states = spec.sequence.states if spec.sequence else ()
    return (*spec.inputs, *(TensorSpec(state.input, state.datatype, state.dims, "state") for state in states))


def graph_outputs(spec: ModelSpec) -> tuple[TensorSpec, ...]:
    """What the ONNX graph returns: the outputs, then the next states."""
    states = spec.sequence.states if spec.sequence else ()
    return (*spec.outputs, *(TensorSpec(state.output, state.datatype, state.dims, "next state") for state in states))
