"""What ``config.pbtxt`` may say and leave out, and what is refused: the same as with NVIDIA's backend."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backend_models import config, graph, identity, node, sum_and_difference, tensor, value, write_model

ROOT = Path(__file__).parents[2]
X, Y = tensor("x", "FP32", [3]), tensor("y", "FP32", [3])
FIXED = ("batch", 3)


def parameter(name: str, text: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{text}" }} }}'


ACCEPTED = {
    "parallel": parameter("execution_mode", "1")
    + parameter("inter_op_thread_count", "2")
    + "optimization { graph { level: 2 } }",
    "no_arena": parameter("enable_mem_arena", "0")
    + parameter("enable_mem_pattern", "false")
    + parameter("anything_else", "x"),
    "shrinking_arena": parameter("memory.enable_memory_arena_shrinkage", "cpu:0")
    + parameter("session.use_device_allocator_for_initializers", "1")
    + parameter("intra_op_thread_count", "1"),
    "accelerated": """
        instance_group { count: 2 }
        optimization { execution_accelerators {
            gpu_execution_accelerator: [ { name: "tensorrt" parameters { key: "precision_mode" value: "FP16" } } ]
            cpu_execution_accelerator: [ { name: "openvino" } ]
        } }""",
}
REFUSED = {
    "too_few_inputs": (
        sum_and_difference(FIXED),
        config(max_batch_size=4, inputs=[tensor("a", "FP32", [3])], outputs=[tensor("total", "FP32", [3])]),
        "configuration expects 1 inputs, model provides 2",
    ),
    "unknown_input": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[tensor("z", "FP32", [3])], outputs=[Y]),
        "unexpected inference input 'z', allowed inputs are: x",
    ),
    "wrong_dims": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[tensor("x", "FP32", [4])], outputs=[Y]),
        "tensor 'x': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies 2 dimensions "
        "(an initial batch dimension because max_batch_size > 0 followed by the explicit tensor shape, making complete "
        "shape [-1,4])",
    ),
    "wrong_output_dims": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[X], outputs=[tensor("y", "FP32", [-1])]),
        "tensor 'y': the model expects 2 dimensions (shape [-1,3]) but the model configuration specifies 2 dimensions",
    ),
    "wrong_type": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[tensor("x", "INT32", [3])], outputs=[Y]),
        "configuration expects datatype TYPE_INT32 for input 'x', model provides TYPE_FP32",
    ),
    "wrong_output_type": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[X], outputs=[tensor("y", "BYTES", [3])]),
        "configuration expects datatype TYPE_STRING for output 'y', model provides TYPE_FP32",
    ),
    "bad_max_batch_size": (
        identity(axes=(1, 3)),
        config(max_batch_size=4, inputs=[X], outputs=[Y]),
        "tensor 'x': for the model to support batching the shape should have at least 1 dimension and the first "
        "dimension must be -1; but shape expected by the model is [1,3]",
    ),
    "unknown_output": (
        identity(axes=FIXED),
        config(max_batch_size=4, inputs=[X], outputs=[tensor("z", "FP32", [3])]),
        "unexpected inference output 'z', allowed outputs are: y",
    ),
    "autofill_without_batch_axis": (
        identity(axes=(1, 3)),
        config(max_batch_size=4),
        "autofill failed for model 'autofill_without_batch_axis': model does not support batching while non-zero "
        "max_batch_size",
    ),
}


def write(repository: Path) -> None:
    for name, more in ACCEPTED.items():
        write_model(
            repository, name, identity(axes=FIXED), config(max_batch_size=4, inputs=[X], outputs=[Y], more=more)
        )
    for name, (model, text, _) in REFUSED.items():
        write_model(repository, name, model, text)
    plain = config(max_batch_size=4, inputs=[X], outputs=[Y])
    write_model(repository, "no_file", None, plain)
    write_model(repository, "no_onnx", None, plain, files={"1/model.onnx": b"this is no ONNX file"})
    unsupported = graph(
        [node("SequenceConstruct", ["x"], ["y"])],
        [value("x", "FP32", FIXED)],
        [sequence_value("y")],
    )
    bf16_and_text = graph(
        [node("Identity", ["x"], ["y"]), node("Identity", ["text"], ["text_out"])],
        [value("x", "BF16", FIXED), value("text", "BYTES", FIXED)],
        [value("y", "BF16", FIXED), value("text_out", "BYTES", FIXED)],
    )
    write_model(repository, "bf16_and_text", bf16_and_text, config())
    write_model(repository, "no_tensor", unsupported, config(max_batch_size=4, inputs=[X], outputs=[Y]))

    write_model(repository, "no_config", identity(axes=FIXED), None)
    write_model(
        repository,
        "no_inputs",
        sum_and_difference(),
        config(max_batch_size=16, outputs=[tensor("total", "FP32", [-1])]),
    )
    write_model(repository, "no_batch_axis", identity(axes=(2, "n")), config())
    write_model(
        repository,
        "renamed",
        identity(axes=FIXED),
        plain + 'default_model_filename: "network.onnx"',
        filename="network.onnx",
    )
    write_model(repository, "folder", identity(axes=FIXED), plain, filename="model.onnx/model.onnx")
    write_model(
        repository,
        "released",
        identity(axes=FIXED),
        plain.replace("count: 1", "count: 2"),
        version=7,
        files={"7/manifest.json": json.dumps({"digest": "5eed" * 16})},
    )


def sequence_value(name: str) -> Any:
    import onnx

    return onnx.helper.make_tensor_sequence_value_info(name, onnx.TensorProto.FLOAT, None)


@pytest.fixture(scope="module")
def served(serve: Callable[..., Any]) -> Any:
    return serve(write)


SAMPLE = np.array([[1, 2, 3]], np.float32)


@pytest.mark.parametrize("name", ACCEPTED)
def test_session_parameters_are_taken(served: Any, name: str) -> None:
    np.testing.assert_array_equal(served.infer(name, {"x": SAMPLE})["y"], SAMPLE)


@pytest.mark.parametrize("name", REFUSED)
def test_a_configuration_that_contradicts_the_graph_is_refused(served: Any, name: str) -> None:
    assert REFUSED[name][2] in served.failed[name]


def test_a_missing_a_broken_and_an_unservable_file(served: Any) -> None:
    assert "unable to find" in served.failed["no_file"]
    assert "ONNX Runtime cannot load" in served.failed["no_onnx"]
    assert "BF16 tensors (x, y) and string inputs (text) cannot be served here" in served.failed["bf16_and_text"]
    assert "unsupported ONNX type 'seq(tensor(float))' for I/O 'y'" in served.failed["no_tensor"]


def test_accelerators_that_this_machine_lacks_are_said_to_be_ignored_once(served: Any) -> None:
    log = served.log()
    assert log.count("gpu_execution_accelerator 'tensorrt' of model 'accelerated' is ignored here") == 1
    assert log.count("cpu_execution_accelerator 'openvino' of model 'accelerated' is ignored here") == 1


def test_inputs_outputs_and_batching_are_filled_in_from_the_graph(served: Any) -> None:
    filled = served.http.get_model_config("no_config")
    assert filled["max_batch_size"] == 4
    assert "dynamic_batching" in filled
    assert [(entry["name"], entry["data_type"], entry["dims"]) for entry in filled["input"]] == [
        ("x", "TYPE_FP32", [3])
    ]
    assert [(entry["name"], entry["data_type"], entry["dims"]) for entry in filled["output"]] == [
        ("y", "TYPE_FP32", [3])
    ]
    np.testing.assert_array_equal(served.infer("no_config", {"x": SAMPLE})["y"], SAMPLE)

    filled = served.http.get_model_config("no_inputs")
    assert filled["max_batch_size"] == 16
    assert [entry["name"] for entry in filled["input"]] == ["a", "b"]
    assert [entry["name"] for entry in filled["output"]] == ["total"]

    filled = served.http.get_model_config("no_batch_axis")
    assert filled["max_batch_size"] == 0
    assert filled["input"][0]["dims"] == [2, -1]


@pytest.mark.parametrize("name", ["renamed", "folder"])
def test_the_model_file_may_have_another_name(served: Any, name: str) -> None:
    np.testing.assert_array_equal(served.infer(name, {"x": SAMPLE})["y"], SAMPLE)


def shown_versions(served: Any) -> list[str]:
    with urllib.request.urlopen(served.triton.metrics_url) as response:  # noqa: S310 - the server that this test started
        lines = response.read().decode().splitlines()
    return [line for line in lines if line.startswith("maas_version_info{")]


@pytest.mark.parametrize("others", [False, True])
def test_only_the_last_instance_of_a_version_tells_the_server_that_it_ends(others: bool) -> None:
    program = f"""
import sys, types
from pathlib import Path
class Metric:
    def set(self, value): pass
    def __del__(self): print("told", flush=True)
class MetricFamily:
    GAUGE = 1
    def __init__(self, **settings): pass
    def Metric(self, labels): return Metric()
sys.modules["triton_python_backend_utils"] = types.SimpleNamespace(MetricFamily=MetricFamily, Metric=Metric)
sys.path.insert(0, {str(ROOT / "server" / "backends" / "onnxruntime")!r})
import ort_version
ort_version._other_instances = lambda: {others}
info = ort_version.VersionInfo("m", "1", Path("/nowhere"))
info.withdraw()
print("ended", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    # Told after the end, by an interpreter that clears its modules, it is a segmentation fault in Triton's stub.
    assert done.stdout.split() == (["ended"] if others else ["told", "ended"])


def test_the_served_versions_digest_is_a_metric_for_as_long_as_it_serves(served: Any) -> None:
    released = f'maas_version_info{{digest="{"5eed" * 16}",model="released",version="7"}} 1'
    folder = 'maas_version_info{digest="unknown",model="folder",version="1"} 1'
    shown = shown_versions(served)
    assert released in shown
    assert folder in shown

    served.triton.api.unload("folder")
    deadline_s = time.monotonic() + 20
    while folder in (shown := shown_versions(served)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert folder not in shown
    assert released in shown

    served.triton.api.load("folder")
    assert folder in shown_versions(served)

    # A version loaded anew: new instances start, then the old ones end.
    (served.repository / "released" / "7").touch()
    served.triton.api.load("released")
    until_s = time.monotonic() + 2
    while time.monotonic() < until_s:
        assert released in shown_versions(served)
        time.sleep(0.05)
