"""How long `maas lint` takes over a thousand models: ``python -m tests.bench.lint_speed [MODELS]``.

A third are ONNX models of a hundred nodes with weights of 1 MB, a third Python models, a third ensembles of the two.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from maas_export.lint.inspection import Options
from maas_export.lint.linter import lint
from maas_export.lint.targets import release_named

_NODES = 100
_CONFIG = """backend: "{backend}"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: 512 }}
output {{ name: "y" data_type: TYPE_FP32 dims: 512 }}
instance_group {{ count: 1 }}
dynamic_batching {{ max_queue_delay_microseconds: 100 }}
version_policy {{ specific {{ versions: 1 }} }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "inter_op_thread_count" value {{ string_value: "1" }} }}
"""
_ENSEMBLE = """platform: "ensemble"
max_batch_size: 8
input {{ name: "x" data_type: TYPE_FP32 dims: 512 }}
output {{ name: "y" data_type: TYPE_FP32 dims: 512 }}
ensemble_scheduling {{
  step {{ model_name: "onnx_{number}" model_version: -1
    input_map {{ key: "x" value: "x" }} output_map {{ key: "y" value: "middle" }} }}
  step {{ model_name: "python_{number}" model_version: -1
    input_map {{ key: "x" value: "middle" }} output_map {{ key: "y" value: "y" }} }}
}}
"""
_PYTHON = (Path(__file__).parents[2] / "server/python_models/digits_preprocess/model.py").read_bytes()


def _network() -> bytes:
    weights = np.random.default_rng(0).random((512, 512), dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h0"])]
    nodes += [helper.make_node("Relu", [f"h{index}"], [f"h{index + 1}"]) for index in range(_NODES)]
    nodes.append(helper.make_node("Identity", [f"h{_NODES}"], ["y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 512]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    return bytes(content)


def write_repository(repository: Path, models: int) -> None:
    """Writes ``models`` models that have nothing wrong."""
    network = repository.parent / "network.onnx"
    network.write_bytes(_network())
    for number in range(models):
        kind, which = ("onnx", "python", "ensemble")[number % 3], number // 3
        _write(repository / f"{kind}_{which}", kind, which, network)


def _write(folder: Path, kind: str, number: int, network: Path) -> None:
    (folder / "1").mkdir(parents=True)
    if kind == "ensemble":
        text = _ENSEMBLE.format(number=number)
    else:
        text = _CONFIG.format(backend="python" if kind == "python" else "onnxruntime")
        if kind == "python":
            text = "\n".join(line for line in text.splitlines() if not line.startswith("parameters"))
            (folder / "1" / "model.py").write_bytes(_PYTHON)
        else:
            (folder / "1" / "model.onnx").hardlink_to(network)
    (folder / "config.pbtxt").write_text(text)


def main(models: int) -> None:
    """Writes a repository, lints it three times, prints the best."""
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        write_repository(repository, models)
        options = Options(release_named("24.10"), has_gpu=False, cores=8)
        wall_s, cpu_s = [], []
        for _ in range(3):
            started, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
            count, findings = lint(repository, options)
            now = resource.getrusage(resource.RUSAGE_SELF)
            wall_s.append(time.perf_counter() - started)
            cpu_s.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        if count != models or findings:
            raise SystemExit(f"wanted {models} clean models, got {count} and {len(findings)} findings: {findings[:1]}")
    sys.stdout.write(f"{models} models: {min(wall_s):.2f} s ({min(cpu_s):.2f} s of processor time)\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
