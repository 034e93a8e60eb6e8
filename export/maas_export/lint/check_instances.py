"""Instances, threads, parameters, accelerators, warm-up: what a model asks of the machine and of its backend."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from maas_export.lint.fields import Field
from maas_export.lint.inspection import Inspection, enum_name
from maas_export.lint.scan import names_of

_CORE_PARAMETERS = frozenset({"TRITON_BATCH_STRATEGY_PATH"})
_OWN_PARAMETERS = frozenset({"calls", "reject_nonfinite"})
"""Read by our client and by ``maas serve``; no backend minds them."""
_ONNX_INTEGERS = (
    "arena_extend_strategy",
    "cudnn_conv_algo_search",
    "execution_mode",
    "gpu_mem_limit",
    "inter_op_thread_count",
    "intra_op_thread_count",
)
_ONNX_BOOLEANS = ("enable_mem_arena", "enable_mem_pattern")
_ONNX_PARAMETERS = frozenset(
    {
        *_ONNX_INTEGERS,
        *_ONNX_BOOLEANS,
        "do_copy_in_default_stream",
        "memory.enable_memory_arena_shrinkage",
        "session.use_device_allocator_for_initializers",
    }
)
"""Source: ``onnxruntime.cc`` of ``triton-inference-server/onnxruntime_backend``."""
_PYTHON_PARAMETERS = frozenset({"EXECUTION_ENV_PATH", "FORCE_CPU_ONLY_INPUT_TENSORS"})
"""A Python model may read any other itself, so that only what looks like a misspelling of these is told."""
_BOOLEANS = ("0", "1", "true", "false")
_ACCELERATORS = {"gpu_execution_accelerator": ("tensorrt", "cuda"), "cpu_execution_accelerator": ("openvino",)}
_DEFAULT_INSTANCES = {"onnxruntime": 2, "tensorflow": 2}
"""On a CPU, where ``instance_group`` gives none; one for all others (``SetDefaultInstanceCount``)."""
_MAPS = ("parameters", "input_map", "output_map", "metric_tags", "priority_queue_policy")


def check_instances(inspection: Inspection) -> None:
    """Everything but inputs, outputs and scheduling."""
    _check_repeated_keys(inspection)
    if inspection.model.is_ensemble:
        return
    _check_groups(inspection)
    _check_threads(inspection)
    _check_parameters(inspection)
    if inspection.model.backend == "onnxruntime":
        _check_values(inspection)
        _check_accelerators(inspection)
    _check_warmup(inspection)


def _check_groups(inspection: Inspection) -> None:
    for index, group in enumerate(inspection.config.instance_group):
        kind = enum_name(group, "kind")
        at = ("instance_group", index)
        if kind == "KIND_GPU" and not inspection.options.has_gpu:
            what = f"instance group of model {inspection.model.name} has kind KIND_GPU but no GPUs are available"
            inspection.report("instance-gpu", what, (*at, "kind"))
        if kind in ("KIND_CPU", "KIND_MODEL") and group.gpus:
            inspection.report("instance-group", f"has kind {kind} but specifies one or more GPUs", (*at, "gpus"))
        if group.profile and inspection.model.backend != "tensorrt":
            what = "specifies profile field which is only supported for TensorRT models"
            inspection.report("instance-group", what, (*at, "profile"))


def _check_threads(inspection: Inspection) -> None:
    model, config = inspection.model, inspection.config
    default = _DEFAULT_INSTANCES.get(model.backend, 1)
    on_gpu = {"KIND_GPU", "KIND_AUTO"} if inspection.options.has_gpu else {"KIND_GPU"}
    groups = [group for group in config.instance_group if enum_name(group, "kind") not in on_gpu]
    if (config.instance_group and not groups) or (not config.instance_group and inspection.options.has_gpu):
        return
    instances = sum(max(group.count, 0) or default for group in groups) or default
    threads = _threads(inspection)
    if instances > 1 and instances * threads > inspection.options.cores:
        what = f"{instances} instances × {threads} threads on {inspection.options.cores} cores"
        inspection.report("threads-over-cores", what, ("instance_group",))


def _threads(inspection: Inspection) -> int:
    """Threads that compute in one instance; ONNX Runtime takes as many as there are cores where it is told nothing."""
    if inspection.model.backend != "onnxruntime":
        return 1
    given = inspection.config.parameters
    text = given["intra_op_thread_count"].string_value if "intra_op_thread_count" in given else "0"
    count = int(text) if _is_integer(text) else 0
    return count if count > 0 else inspection.options.cores


def _check_parameters(inspection: Inspection) -> None:
    backend = inspection.model.backend
    known = {"onnxruntime": _ONNX_PARAMETERS, "python": _PYTHON_PARAMETERS}.get(backend)
    if known is None:
        return
    known = known | _CORE_PARAMETERS | _OWN_PARAMETERS
    for key in sorted(set(inspection.config.parameters) - known):
        close = get_close_matches(key, known, n=1, cutoff=0.8)
        close = close or [name for name in known if name.lower() == key.lower()]
        if backend == "onnxruntime" or close:
            hint = f"; {close[0]!r} is known" if close else ""
            what = f"the {backend} backend does not read parameter {key!r}{hint}"
            inspection.report("parameter-unknown", what, ("parameters", key))


def _check_values(inspection: Inspection) -> None:
    for key, parameter in sorted(inspection.config.parameters.items()):
        text = parameter.string_value
        if key in _ONNX_INTEGERS and not _is_integer(text):
            inspection.report(
                "parameter-value", f"failed to convert '{text}' to integer for parameter '{key}'", ("parameters", key)
            )
        elif key == "execution_mode" and text not in ("0", "1"):
            what = f"expected values for execution_mode are 0 or 1 but got {text}"
            inspection.report("parameter-value", what, ("parameters", key))
        elif key in _ONNX_BOOLEANS and text.lower() not in _BOOLEANS:
            what = f"failed to convert '{text}' to boolean for parameter '{key}'"
            inspection.report("parameter-value", what, ("parameters", key))


def _is_integer(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _check_accelerators(inspection: Inspection) -> None:
    accelerators = inspection.config.optimization.execution_accelerators
    for field, known in _ACCELERATORS.items():
        for index, entry in enumerate(getattr(accelerators, field)):
            if entry.name not in known:
                what = f"unknown Execution Accelerator '{entry.name}' is requested; known are {', '.join(known)}"
                at = ("optimization", "execution_accelerators", field, index, "name")
                inspection.report("accelerator-unknown", what, at)


def _check_warmup(inspection: Inspection) -> None:
    known = set(names_of(inspection.config.input)) | {
        entry.name for entry in inspection.config.sequence_batching.control_input
    }
    for index, sample in enumerate(inspection.config.model_warmup):
        if sample.batch_size == 0:
            continue
        for entry in inspection.config.input:
            if entry.name not in sample.inputs and not entry.optional:
                what = f"warm-up {sample.name!r}: missing required input '{entry.name}'"
                inspection.report("warmup", what, ("model_warmup", index))
        for name, value in sorted(sample.inputs.items()):
            for problem in _warmup_problems(inspection, name, value, known):
                inspection.report("warmup", f"warm-up {sample.name!r}: {problem}", ("model_warmup", index))


def _warmup_problems(inspection: Inspection, name: str, value: Any, known: set[str]) -> list[str]:
    problems = []
    if known and name not in known:
        problems.append(f"unexpected inference input '{name}'")
    if any(dim < 0 for dim in value.dims):
        problems.append(f"all variable-size dimensions must be specified for input '{name}'")
    if value.WhichOneof("input_data_type") is None:
        problems.append(f"input '{name}' must have input_data_type set")
    elif value.input_data_file and not (inspection.model.folder / "warmup" / value.input_data_file).is_file():
        problems.append(f"warmup/{value.input_data_file} is missing")
    return problems


def _check_repeated_keys(inspection: Inspection) -> None:
    """The parser keeps the last value of a key; only the text still has both."""
    if inspection.model.text.count("key") > _entries(inspection.config):
        for field, entry, key in _repeated(inspection.model.fields.root):
            what = f"{field} has the key '{key}' twice"
            inspection.report("key-twice", what, path=inspection.model.config_path, line=entry.line)


def _entries(config: Any) -> int:
    """How many map entries the commonly used maps have."""
    steps = config.ensemble_scheduling.step
    return len(config.parameters) + sum(len(step.input_map) + len(step.output_map) for step in steps)


def _repeated(message: Field) -> list[tuple[str, Field, str]]:
    found: list[tuple[str, Field, str]] = []
    seen: set[tuple[str, str]] = set()
    for child in message.children:
        key = next((part.value for part in child.children if part.name == "key"), None)
        if child.name in _MAPS and key is not None:
            if (child.name, key) in seen:
                found.append((child.name, child, key))
            seen.add((child.name, key))
        found += _repeated(child)
    return found
