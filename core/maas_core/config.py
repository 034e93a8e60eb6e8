"""``config.pbtxt``: built from a spec, read and written through Triton's own protobuf messages.

Source: ``model_config.proto`` of Triton (package ``inference``), as ``tritonclient`` ships it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig

from maas_core.dtypes import config_name
from maas_core.errors import WrongUse
from maas_core.spec import ModelSpec, SequenceBatching, Serving, TensorSpec

CONFIG_FILE = "config.pbtxt"
LABELS_FILE = "labels.txt"
DIGEST_PARAMETER = "maas_digest"
"""The digest of the one version that a view's configuration pins; the client reads it."""
CALLS_PARAMETER = "calls"
"""The models that a Python model asks, joined by commas: Triton itself does not say."""
_HEADER = "# Generated from the model's spec by `maas config --write`; change the spec, not this file.\n"


def config_of(spec: ModelSpec) -> Any:
    """The ``ModelConfig`` message of ``spec``, without a version policy: a bundle does not know its version."""
    config = ModelConfig(name=spec.name, max_batch_size=spec.serving.max_batch_size)
    if spec.backend == "ensemble":
        config.platform = "ensemble"
    else:
        config.backend = spec.backend
    _add_tensors(config.input, spec.inputs)
    _add_tensors(config.output, spec.outputs)
    if spec.backend == "ensemble":
        _add_steps(config, spec)
    else:
        _add_serving(config, spec.serving, is_onnx=spec.backend == "onnxruntime", is_batched=spec.sequence is None)
    if spec.sequence is not None:
        _add_sequence_batching(config, spec.sequence)
    if spec.decoupled:
        config.model_transaction_policy.decoupled = True
    if spec.calls:
        config.parameters[CALLS_PARAMETER].string_value = ",".join(spec.calls)
    if spec.refuses_nonfinite:
        config.parameters["reject_nonfinite"].string_value = "true"
    return config


def _add_tensors(field: Any, tensors: Iterable[TensorSpec]) -> None:
    for tensor in tensors:
        entry = field.add(name=tensor.name, data_type=DataType.Value(config_name(tensor.datatype)))
        entry.dims.extend(-1 if isinstance(dim, str) else dim for dim in tensor.dims)
        if tensor.labels:
            entry.label_filename = LABELS_FILE
        if tensor.optional:
            entry.optional = True


def _add_steps(config: Any, spec: ModelSpec) -> None:
    for step in spec.steps:
        entry = config.ensemble_scheduling.step.add(model_name=step.model, model_version=-1)
        entry.input_map.update(step.inputs)
        entry.output_map.update(step.outputs)


def _add_serving(config: Any, serving: Serving, *, is_onnx: bool, is_batched: bool) -> None:
    config.instance_group.add(count=serving.instances)
    if is_batched and serving.dynamic_batching and serving.max_batch_size > 1:
        config.dynamic_batching.max_queue_delay_microseconds = serving.queue_delay_us
    if is_onnx:
        config.parameters["intra_op_thread_count"].string_value = str(serving.intra_op_threads)
        config.parameters["inter_op_thread_count"].string_value = "1"
    for key, value in sorted(serving.parameters.items()):
        config.parameters[key].string_value = value


def _add_sequence_batching(config: Any, sequence: SequenceBatching) -> None:
    batching = config.sequence_batching
    batching.max_sequence_idle_microseconds = int(sequence.max_idle_s * 1_000_000)
    batching.oldest.max_candidate_sequences = sequence.max_candidates
    for state in sequence.states:
        entry = batching.state.add(
            input_name=state.input, output_name=state.output, data_type=DataType.Value(config_name(state.datatype))
        )
        entry.dims.extend(state.dims)
        entry.initial_state.add(name=state.input, data_type=entry.data_type, dims=state.dims, zero_data=True)


def pin_version(config: Any, version: int) -> Any:
    """A copy of ``config`` that serves exactly ``version``."""
    pinned = ModelConfig()
    pinned.CopyFrom(config)
    pinned.ClearField("version_policy")
    pinned.version_policy.specific.versions.append(version)
    return pinned


def pinned_version(config: Any) -> int | None:
    """The one version that ``config`` names, if it names one."""
    versions = list(config.version_policy.specific.versions)
    return versions[0] if len(versions) == 1 else None


def same_but_version(one: Any, other: Any) -> bool:
    """Whether two configs agree in everything but the version that they serve."""
    return bool(pin_version(one, 1) == pin_version(other, 1))


def dump_config(config: Any) -> str:
    """``config`` as text; the same message always gives the same text."""
    return _HEADER + str(text_format.MessageToString(config, use_index_order=True))


def parse_config(text: str, source: str) -> Any:
    """Reads ``config.pbtxt`` text.

    Raises:
        WrongUse: with line and column where Triton would refuse the text.
    """
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise WrongUse(f"{source}: {error}", "mend that line of the configuration") from error


def read_config(model_dir: Path) -> Any:
    """The config of a model's folder or a bundle.

    Raises:
        WrongUse: where it is missing or does not parse.
    """
    path = model_dir / CONFIG_FILE
    try:
        return parse_config(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError as error:
        raise WrongUse(f"{path} is missing", "export or publish the model again") from error


def labels_text(labels: Iterable[str]) -> str:
    """``labels.txt``: one class name a line, in the order of the classes."""
    return "".join(f"{label}\n" for label in labels)
