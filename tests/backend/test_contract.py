"""Configurations and parameters, asked of the code itself, without a server: NVIDIA's names, NVIDIA's refusals."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort
import pytest
from backend_models import accumulator, config, control, identity, sequence_batching, state, sum_and_difference, tensor
from google.protobuf import json_format, text_format
from ort_config import ModelConfig, parse_config
from ort_contract import check_contract
from ort_errors import LoadError
from ort_graph import read_graph
from ort_options import execution_providers, run_options, session_options
from tritonclient.grpc.model_config_pb2 import ModelConfig as ModelConfigMessage

X, Y = tensor("x", "FP32", [3]), tensor("y", "FP32", [3])
FIXED = ("batch", 3)


def parsed(text: str, name: str = "model") -> ModelConfig:
    message = text_format.Parse(text, ModelConfigMessage(name=name))
    return parse_config(json_format.MessageToDict(message, preserving_proto_field_name=True))


def parameter(name: str, text: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{text}" }} }}'


def accelerator(home: str, name: str, **parameters: str) -> str:
    entries = " ".join(f'parameters {{ key: "{key}" value: "{value}" }}' for key, value in parameters.items())
    listed = f'{home}_execution_accelerator: [ {{ name: "{name}" {entries} }} ]'
    return f"optimization {{ execution_accelerators {{ {listed} }} }}"


CONTRADICTIONS = {
    "unbatched_dims": (
        identity(axes=FIXED),
        config(inputs=[X], outputs=[Y]),
        "tensor 'x': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies 1 dimensions "
        "(shape [3])",
    ),
    "optional_with_batching": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[X, tensor("w", "FP32", [1], "optional: true")], outputs=[Y]),
        "optional input 'w' is not supported for models that support batching",
    ),
    "ragged_shape": (
        identity(axes=("batch", "n")),
        config(
            max_batch_size=4,
            inputs=[tensor("x", "FP32", [-1], "allow_ragged_batch: true")],
            outputs=[tensor("y", "FP32", [-1])],
        ),
        "configuration expects model provides input with shape [-1] for ragged input 'x', model provides [-1,-1]",
    ),
    "scalar_dims": (
        identity(axes=()),
        config(inputs=[tensor("x", "FP32", [2])], outputs=[tensor("y", "FP32", [1])]),
        "scalar tensor 'x' should only provide 1 in the model configuration",
    ),
    "control_not_in_graph": (
        accumulator(),
        config(
            max_batch_size=4,
            inputs=[tensor("x", "FP32", [1])],
            outputs=[tensor("y", "FP32", [1])],
            more=sequence_batching(control("START", "START"), state("sum", "FP32", [1])),
        ),
        "configuration specified sequence control 'START', but model does not provide that input",
    ),
    "control_of_wrong_type": (
        sum_and_difference(("batch", 1)),
        config(
            max_batch_size=4,
            inputs=[tensor("a", "FP32", [1])],
            outputs=[tensor("total", "FP32", [1])],
            more=sequence_batching(control("b", "READY", "INT32")),
        ),
        "sequence control 'b', the model expects data-type TYPE_FP32 but the model configuration specifies data-type "
        "TYPE_INT32",
    ),
    "control_of_wrong_shape": (
        sum_and_difference(("batch", 3)),
        config(
            max_batch_size=4,
            inputs=[tensor("a", "FP32", [3])],
            outputs=[tensor("total", "FP32", [3])],
            more=sequence_batching(control("b", "READY")),
        ),
        "sequence control 'b' in model has dims [3] but dims [1] is expected",
    ),
    "state_not_in_graph": (
        sum_and_difference(("batch", 1)),
        config(
            max_batch_size=4,
            inputs=[tensor("a", "FP32", [1])],
            outputs=[tensor("total", "FP32", [1])],
            more=sequence_batching(state("b", "FP32", [1])),
        ),
        "unexpected inference input state 'b_in', allowed inputs are: a, b",
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_configuration_that_contradicts_the_graph_is_refused(name: str) -> None:
    model, text, wanted = CONTRADICTIONS[name]
    session = ort.InferenceSession(model.SerializeToString())
    with pytest.raises(LoadError) as caught:
        check_contract(parsed(text), read_graph(session))
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (parameter("execution_mode", "2"), "expected values for execution_mode are 0 or 1 but got 2"),
        (
            parameter("intra_op_thread_count", "many"),
            "failed to convert 'many' to integer for parameter 'intra_op_thread_count'",
        ),
        (parameter("enable_mem_arena", "perhaps"), "failed to convert 'perhaps' to boolean"),
    ],
)
def test_bad_session_parameters_are_refused(text: str, wanted: str) -> None:
    with pytest.raises(LoadError, match=wanted):
        session_options(parsed(text))


def test_session_parameters_by_nvidias_names() -> None:
    text = "".join(
        parameter(name, value)
        for name, value in {
            "intra_op_thread_count": "3",
            "inter_op_thread_count": "2",
            "execution_mode": "1",
            "enable_mem_arena": "0",
            "enable_mem_pattern": "FALSE",
            "session.use_device_allocator_for_initializers": "1",
            "memory.enable_memory_arena_shrinkage": "cpu:0",
        }.items()
    )
    config = parsed(text)
    options = session_options(config)
    assert options.intra_op_num_threads == 3
    assert options.inter_op_num_threads == 2
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern
    assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"
    shrinking = run_options(config)
    assert shrinking is not None
    assert shrinking.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"


@pytest.mark.parametrize(
    ("level", "wanted"),
    [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")],
)
def test_graph_optimization_levels(level: int, wanted: str) -> None:
    options = session_options(parsed(f"optimization {{ graph {{ level: {level} }} }}"))
    assert options.graph_optimization_level == getattr(ort.GraphOptimizationLevel, wanted)


ON_GPU = {
    "on_gpu": True,
    "device_id": 1,
    "available": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}
ON_CPU = {"on_gpu": False, "device_id": 0, "available": ["CPUExecutionProvider"]}


def providers_for(text: str, machine: dict[str, Any]) -> tuple[list[Any], list[str]]:
    logged: list[str] = []
    return execution_providers(parsed(text), log=logged.append, **machine), logged


def test_gpu_providers_are_used_where_they_are_with_nvidias_parameters() -> None:
    text = accelerator(
        "gpu", "tensorrt", precision_mode="FP16", max_workspace_size_bytes="64", trt_engine_cache_enable="1"
    )
    providers, logged = providers_for(text + parameter("cudnn_conv_algo_search", "1"), ON_GPU)
    assert providers == [
        (
            "TensorrtExecutionProvider",
            {"trt_fp16_enable": "1", "trt_max_workspace_size": "64", "trt_engine_cache_enable": "1", "device_id": "1"},
        ),
        ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC", "device_id": "1"}),
        "CPUExecutionProvider",
    ]
    assert not logged


@pytest.mark.parametrize(("home", "name"), [("gpu", "tensorrt"), ("gpu", "cuda"), ("cpu", "openvino")])
def test_an_accelerator_that_is_not_here_is_said_to_be_ignored(home: str, name: str) -> None:
    providers, logged = providers_for(accelerator(home, name), ON_CPU)
    assert providers == ["CPUExecutionProvider"]
    assert len(logged) == 1
    assert f"{home}_execution_accelerator '{name}' of model 'model' is ignored here" in logged[0]


@pytest.mark.parametrize(
    ("text", "machine", "wanted"),
    [
        (accelerator("gpu", "abacus"), ON_GPU, "unknown Execution Accelerator 'abacus'"),
        (accelerator("cpu", "abacus"), ON_CPU, "unknown Execution Accelerator 'abacus'"),
        (accelerator("gpu", "tensorrt", precision_mode="FP8"), ON_GPU, "unsupported precision mode 'FP8'"),
        (accelerator("gpu", "tensorrt", colour="red"), ON_GPU, "unknown parameter 'colour' is provided for TensorRT"),
        (parameter("arena_extend_strategy", "7"), ON_GPU, "unsupported arena_extend_strategy value '7'"),
    ],
)
def test_unknown_accelerators_and_parameters_are_refused(text: str, machine: dict[str, Any], wanted: str) -> None:
    with pytest.raises(LoadError, match=wanted):
        providers_for(text, machine)
