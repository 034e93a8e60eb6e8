"""Session options, run options and execution providers, by the names that NVIDIA's onnxruntime backend uses.

Source of the names and of what is refused: the README of ``triton-inference-server/onnxruntime_backend`` ("Model Config
Options", "Deprecated Parameters", "Parameter mapping").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnxruntime as ort
from ort_config import ModelConfig
from ort_errors import LoadError

Providers = list[str | tuple[str, dict[str, str]]]

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    0: ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_EXECUTION_MODES = {0: ort.ExecutionMode.ORT_SEQUENTIAL, 1: ort.ExecutionMode.ORT_PARALLEL}
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}

_SESSION_ENTRIES = ("session.use_device_allocator_for_initializers",)
_RUN_ENTRIES = ("memory.enable_memory_arena_shrinkage",)

_TENSORRT_PRECISIONS = {"FP32": None, "FP16": "trt_fp16_enable", "BF16": "trt_bf16_enable", "INT8": "trt_int8_enable"}
_TENSORRT_RENAMED = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_CUDA_ENUMERATIONS = {
    "cudnn_conv_algo_search": ("EXHAUSTIVE", "HEURISTIC", "DEFAULT"),
    "arena_extend_strategy": ("kNextPowerOfTwo", "kSameAsRequested"),
}
_CUDA_PLAIN = ("gpu_mem_limit", "do_copy_in_default_stream")


def session_options(config: ModelConfig) -> ort.SessionOptions:
    """The options with which to open the model.

    Raises:
        LoadError: a parameter has a value that NVIDIA's backend refuses too.
    """
    parameters = config.parameters
    options = ort.SessionOptions()
    options.graph_optimization_level = _GRAPH_LEVELS.get(config.graph_optimization_level, _GRAPH_LEVELS[0])
    options.execution_mode = _execution_mode(parameters)
    # 0 leaves the choice to ONNX Runtime, which then takes as many threads as there are cores.
    options.intra_op_num_threads = max(0, _integer(parameters, "intra_op_thread_count"))
    options.inter_op_num_threads = max(0, _integer(parameters, "inter_op_thread_count"))
    if "enable_mem_arena" in parameters:
        options.enable_cpu_mem_arena = _boolean(parameters, "enable_mem_arena")
    if "enable_mem_pattern" in parameters:
        options.enable_mem_pattern = _boolean(parameters, "enable_mem_pattern")
    for key in _SESSION_ENTRIES:
        if key in parameters:
            options.add_session_config_entry(key, parameters[key])
    for library in config.op_libraries:
        options.register_custom_ops_library(library)
    return options


def run_options(config: ModelConfig) -> ort.RunOptions | None:
    """The options of every run, or None where the configuration asks for none."""
    entries = {key: config.parameters[key] for key in _RUN_ENTRIES if key in config.parameters}
    if not entries:
        return None
    options = ort.RunOptions()
    for key, value in entries.items():
        options.add_run_config_entry(key, value)
    return options


def execution_providers(
    config: ModelConfig, *, on_gpu: bool, device_id: int, available: Sequence[str], log: Callable[[str], None]
) -> Providers:
    """The providers to try, best first; what is asked for and not here is logged, one line each.

    Args:
        config: names the accelerators and their parameters.
        on_gpu: the instance's kind is GPU (Triton chose it, or the configuration did).
        device_id: the GPU's number.
        available: ``onnxruntime.get_available_providers()``.
        log: takes one line of text.

    Raises:
        LoadError: an accelerator or one of its parameters is unknown to NVIDIA's backend as well.
    """
    providers: Providers = []
    cuda = _cuda_parameters(config.parameters)
    for accelerator in config.gpu_accelerators:
        name, parameters = accelerator["name"], dict(accelerator.get("parameters") or {})
        provider = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(name)
        if provider is None:
            raise LoadError(f"unknown Execution Accelerator '{name}' is requested; known are tensorrt and cuda")
        if not on_gpu or provider not in available:
            log(
                f"gpu_execution_accelerator '{name}' of model '{config.name}' is ignored here: no GPU, or no {provider}"
            )
        elif name == "tensorrt":
            providers.append((provider, {**_tensorrt_parameters(parameters), "device_id": str(device_id)}))
        else:
            cuda |= parameters
    if on_gpu and "CUDAExecutionProvider" in available:
        providers.append(("CUDAExecutionProvider", {**cuda, "device_id": str(device_id)}))
    for accelerator in config.cpu_accelerators:
        if accelerator["name"] != "openvino":
            raise LoadError(f"unknown Execution Accelerator '{accelerator['name']}' is requested; known is openvino")
        if "OpenVINOExecutionProvider" in available:
            providers.append(("OpenVINOExecutionProvider", {"device_type": "CPU"}))
        else:
            log(
                f"cpu_execution_accelerator 'openvino' of model '{config.name}' is ignored here: "
                "no OpenVINOExecutionProvider"
            )
    providers.append("CPUExecutionProvider")
    return providers


def _execution_mode(parameters: Mapping[str, str]) -> Any:
    mode = _integer(parameters, "execution_mode")
    if mode not in _EXECUTION_MODES:
        raise LoadError(f"invalid configuration value: expected values for execution_mode are 0 or 1 but got {mode}")
    return _EXECUTION_MODES[mode]


def _integer(parameters: Mapping[str, str], key: str) -> int:
    text = parameters.get(key, "0")
    try:
        return int(text)
    except ValueError:
        raise LoadError(f"failed to convert '{text}' to integer for parameter '{key}'") from None


def _boolean(parameters: Mapping[str, str], key: str) -> bool:
    text = parameters[key]
    if text.lower() not in _BOOLEANS:
        raise LoadError(f"failed to convert '{text}' to boolean for parameter '{key}'; use 1, 0, true or false")
    return _BOOLEANS[text.lower()]


def _cuda_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    cuda = {key: parameters[key] for key in _CUDA_PLAIN if key in parameters}
    for key, values in _CUDA_ENUMERATIONS.items():
        if key in parameters:
            index = _integer(parameters, key)
            if not 0 <= index < len(values):
                raise LoadError(f"unsupported {key} value '{index}' is requested; known are 0 to {len(values) - 1}")
            cuda[key] = values[index]
    return cuda


def _tensorrt_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    options = {}
    for key, value in parameters.items():
        if key == "precision_mode":
            if value not in _TENSORRT_PRECISIONS:
                raise LoadError(f"unsupported precision mode '{value}' is requested")
            option = _TENSORRT_PRECISIONS[value]
            if option is not None:
                options[option] = "1"
        elif key in _TENSORRT_RENAMED or key.startswith("trt_"):
            options[_TENSORRT_RENAMED.get(key, key)] = value
        else:
            raise LoadError(f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator")
    return options
