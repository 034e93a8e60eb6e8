"""What is said of models that do not load: the true reason, in real paths, and the mend. One server tells them all."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper
from tests.server.serving import DOUBLE

from maas_server.embedded import EmbeddedTriton
from maas_server.pytest_plugin import TritonFactory
from maas_server.reasons import mend_for

_CONFIG = """
backend: "{backend}"
max_batch_size: 8
input [{{ name: "x" data_type: {datatype} dims: [ {dim} ] }}]
output [{{ name: "{output}" data_type: TYPE_FP32 dims: [ 2 ] }}]
{more}
"""
_ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input [{{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }}]
output [{{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }}]
ensemble_scheduling {{
  step [{{
    model_name: "{step}" model_version: -1
    input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "y" }}
  }}]
}}
"""


def _config(
    backend: str = "onnxruntime", datatype: str = "TYPE_FP32", dim: int = 2, output: str = "y", more: str = ""
) -> str:
    return _CONFIG.format(backend=backend, datatype=datatype, dim=dim, output=output, more=more)


def _onnx(*, operator: str = "Relu", opset: int = 20, ir_version: int = 10) -> bytes:
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    )
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )
    return bytes(model.SerializeToString())


def _python(more: str) -> bytes:
    return f"FACTOR = 2\n{DOUBLE}{more}".encode()


_FILES: dict[str, tuple[str, str, bytes]] = {
    "good": (_config(), "1/model.onnx", _onnx()),
    "truncated": (_config(), "1/model.onnx", _onnx()[:60]),
    "empty": (_config(), "1/model.onnx", b""),
    "missing_file": (_config(), "1/other.onnx", _onnx()),
    "pinned": (_config(more="version_policy: { specific: { versions: [7] } }"), "1/model.onnx", _onnx()),
    "wrong_type": (_config(datatype="TYPE_INT64"), "1/model.onnx", _onnx()),
    "wrong_dims": (_config(dim=3), "1/model.onnx", _onnx()),
    "wrong_output": (_config(output="z"), "1/model.onnx", _onnx()),
    "misspelt": ('backend: "onnxruntime"\nmax_batch_sise: 3\n', "1/model.onnx", _onnx()),
    "no_backend": (_config(backend="tensorrt"), "1/model.plan", _onnx()),
    "gpu_only": (_config(more="instance_group [{ kind: KIND_GPU }]"), "1/model.onnx", _onnx()),
    "future_opset": (_config(), "1/model.onnx", _onnx(opset=99)),
    "future_ir": (_config(), "1/model.onnx", _onnx(ir_version=99)),
    "unknown_operator": (_config(), "1/model.onnx", _onnx(operator="Nope")),
    "no_package": (_config("python"), "1/model.py", b"import no_such_package\n"),
    "no_class": (_config("python"), "1/model.py", b"x = 1\n"),
    "raises": (
        _config("python"),
        "1/model.py",
        _python("\n    def initialize(self, args):\n        raise ValueError('bad')\n"),
    ),
    "exits": (
        _config("python"),
        "1/model.py",
        _python("\n    def initialize(self, args):\n        __import__('os')._exit(3)\n"),
    ),
    "on_truncated": (_ENSEMBLE.format(step="truncated"), "1/.keep", b""),
    "on_nothing": (_ENSEMBLE.format(step="nowhere"), "1/.keep", b""),
}


@pytest.fixture(scope="module")
def served(module_triton_server: TritonFactory, tmp_path_factory: pytest.TempPathFactory) -> EmbeddedTriton:
    repository = tmp_path_factory.mktemp("models") / "model repository"
    for name, (config, path, content) in _FILES.items():
        file = repository / name / path
        file.parent.mkdir(parents=True)
        file.write_bytes(content)
        (repository / name / "config.pbtxt").write_text(config)
    return module_triton_server(repository)


def test_the_good_model_serves_among_the_bad_ones(served: EmbeddedTriton) -> None:
    assert served.models == {"good": [1]}
    assert set(served.failed) == set(_FILES) - {"good"}


@pytest.mark.parametrize(
    ("model", "reason", "mend"),
    [
        ("truncated", "INVALID_PROTOBUF", "truncated or damaged: publish the version again"),
        ("empty", "No graph was found", "truncated or damaged: publish the version again"),
        ("missing_file", "model.onnx", "publish it again"),
        ("pinned", "at least one version must be available under the version policy", "version_policy"),
        ("wrong_type", "TYPE_INT64", "the config does not fit the model file"),
        ("wrong_dims", "[-1,3]", "the config does not fit the model file"),
        ("wrong_output", "'z'", "the config does not fit the model file"),
        (
            "misspelt",
            'config.pbtxt:2:15: Message type "inference.ModelConfig" has no field named',
            "that line and column",
        ),
        ("no_backend", "unable to find backend library for backend 'tensorrt'", "no backend tensorrt"),
        ("gpu_only", "KIND_GPU but no GPUs are available", "leave `kind` out"),
        ("future_opset", "Opset 99", "opset 20"),
        ("future_ir", "Unsupported model IR version: 99", "opset 20 (IR 10)"),
        ("unknown_operator", "No Op registered for Nope", "no such operator"),
        ("no_package", "No module named 'no_such_package'", "pip install the package that holds no_such_package"),
        ("no_class", "has no attribute 'TritonPythonModel'", "name the class"),
        ("raises", "ValueError: bad (", "mend the Python model"),
        ("exits", "is not healthy", "its process ended while it started"),
        ("on_truncated", "INVALID_PROTOBUF", "the models that it is made of"),
        ("on_nothing", "nowhere", "the models that it is made of"),
    ],
)
def test_the_reason_and_the_mend(served: EmbeddedTriton, model: str, reason: str, mend: str) -> None:
    said = served.failed[model]
    assert reason in said
    assert mend in mend_for(said)
    assert "\n" not in said
    assert "maas-serve-" not in said, "a path of the runtime folder tells a person nothing"
    assert not said.startswith(("Internal", "Invalid", "load failed"))


def test_the_place_in_a_python_model_is_told(served: EmbeddedTriton) -> None:
    assert "model repository/raises/1/model.py, line 17)" in served.failed["raises"]
