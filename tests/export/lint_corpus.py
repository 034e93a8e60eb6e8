"""A model repository with one thing wrong in each model, and what the linter and Triton must say to it.

``GOOD`` are the controls; the broken ones may be made of them. Every rule of the linter has at least one case.
"""

# ruff: noqa: E501  # one model a line: a table

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto, helper

Content = str | bytes | None
"""A file's content; ``None`` makes a folder."""


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        rules: the ids that the linter must report, and no other.
        files: by path in the model's folder.
        line: what stands in the line that the first finding names; empty where it names none.
        refused: whether the embedded Triton refuses it; ``None`` where it cannot be asked (see ``why``).
        why: why it is not asked.
        fixed: whether `--fix` leaves it clean.
    """

    rules: tuple[str, ...]
    files: Mapping[str, Content]
    line: str = ""
    refused: bool | None = True
    why: str = ""
    fixed: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


def onnx_model(
    *,
    operator: str = "Relu",
    domain: str = "",
    opset: int = 20,
    ir_version: int = 10,
    batch: int | str = "batch",
    inputs: tuple[str, ...] = ("x",),
    states: bool = False,
    change: Callable[[onnx.ModelProto], None] | None = None,
) -> bytes:
    """y = operator(x), both FP32 [batch, 2]; with ``states`` also a_out = a_in and b_out = b_in."""

    def tensor(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 2])

    nodes = [helper.make_node(operator, list(inputs), ["y"], domain=domain)]
    ins, outs = list(inputs), ["y"]
    if states:
        nodes += [helper.make_node("Identity", [f"{name}_in"], [f"{name}_out"]) for name in "ab"]
        ins, outs = [*ins, "a_in", "b_in"], ["y", "a_out", "b_out"]
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    graph = helper.make_graph(nodes, "graph", [tensor(name) for name in ins], [tensor(name) for name in outs])
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    if change is not None:
        change(model)
    return bytes(model.SerializeToString())


def external(location: str) -> Callable[[onnx.ModelProto], None]:
    """Adds a weight whose bytes lie in another file."""

    def change(model: onnx.ModelProto) -> None:
        weight = model.graph.initializer.add(
            name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL
        )
        weight.external_data.add(key="location", value=location)
        model.graph.node.append(helper.make_node("Add", ["y0", "w"], ["y"]))
        model.graph.node[0].output[0] = "y0"

    return change


X, Y = "name: 'x' data_type: TYPE_FP32 dims: 2", "name: 'y' data_type: TYPE_FP32 dims: 2"
PYTHON = b"class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


def config(
    more: str = "", *, backend: str = 'backend: "onnxruntime"', batch: int = 8, x: str = X, y: str = Y, group: str = "{ count: 1 }"
) -> str:  # fmt: skip
    """A ``config.pbtxt``: a field a line, ``more`` last."""
    lines = [backend, f"max_batch_size: {batch}", f"input {{ {x} }}", f"output {{ {y} }}"]
    lines += [f"instance_group {group}"] if group else []
    return "\n".join([*lines, more]) + "\n"


def onnx_case(rules: str, more: str = "", *, model: bytes | None = None, **options: object) -> Case:
    """A model of the onnxruntime backend; options of :func:`config` and of :class:`Case`."""
    own = {name: options.pop(name) for name in ("line", "refused", "why", "fixed", "options") if name in options}
    text = config(more, **options)  # type: ignore[arg-type]  # the names are those of config
    files = {"config.pbtxt": text, "1/model.onnx": onnx_model() if model is None else model}
    return Case(tuple(rules.split()), files, **{"line": more, **own})  # type: ignore[arg-type]  # likewise


def python_case(rules: str, more: str = "", *, model: bytes = PYTHON, **options: object) -> Case:
    """A model of the Python backend."""
    case = onnx_case(rules, more, backend='backend: "python"', **options)
    return Case(**{**vars(case), "files": {"config.pbtxt": case.files["config.pbtxt"], "1/model.py": model}})


def step(model: str = "relu", version: int = -1, given: str = "x: x", taken: str = "y: y") -> str:
    """One step of an ensemble on one line; ``given`` and ``taken`` are maps like ``x: x``."""

    def entries(name: str, text: str) -> str:
        pairs = [pair.split(": ") for pair in text.split(", ") if pair]
        return " ".join(f'{name} {{ key: "{key}" value: "{value}" }}' for key, value in pairs)

    maps = f"{entries('input_map', given)} {entries('output_map', taken)}"
    return f'step {{ model_name: "{model}" model_version: {version} {maps} }}'


def ensemble(
    rules: str, *steps: str, more: str = "", x: str = X, y: str = Y, batch: int = 8, **options: object
) -> Case:
    """An ensemble of the good models."""
    text = "\n".join(
        [
            'platform: "ensemble"',
            f"max_batch_size: {batch}",
            f"input {{ {x} }}",
            f"output {{ {y} }}",
            more,
            "ensemble_scheduling {",
            *steps,
            "}\n",
        ]
    )
    return Case(tuple(rules.split()), {"config.pbtxt": text, "1": None}, **options)  # type: ignore[arg-type]  # of Case


def sequence(fields: str) -> str:
    """``sequence_batching`` on one line."""
    return f"sequence_batching {{ {fields} }}"


def manifest(**sizes: int) -> str:
    """As much of a ``manifest.json`` as the linter reads."""
    return json.dumps({"files": {name.replace("_", "."): {"size_bytes": size} for name, size in sizes.items()}})


def state(name: str, output: str, initial: str = "dims: 2 data_type: TYPE_FP32 zero_data: true name: 'zero'") -> str:
    """One state of a sequence."""
    return (
        f"state {{ input_name: '{name}' output_name: '{output}' data_type: TYPE_FP32 dims: 2"
        f" initial_state {{ {initial} }} }}"
    )


GOOD: dict[str, Case] = {
    "relu": onnx_case("", "dynamic_batching { preferred_batch_size: [ 4, 8 ] }", refused=False),
    "doubled": python_case("", 'parameters { key: "own" value { string_value: "1" } }', refused=False),
    "pair": ensemble("", step(taken="y: middle"), step("doubled", given="x: middle"), refused=False),
    "stateful": onnx_case(
        "",
        sequence(f"oldest {{}} {state('a_in', 'a_out')} {state('b_in', 'b_out')}"),
        model=onnx_model(states=True),
        refused=False,
    ),
}

FOLDERS: dict[str, Case] = {
    "bad name!": Case(("model-name",), {"config.pbtxt": config(), "1/model.onnx": onnx_model()}, refused=None, why="the stub runs a shell"),
    "name_differs": onnx_case("name-differs", 'name: "other"', fixed=True),
    "config_missing": Case(("config-missing",), {"1/model.onnx": onnx_model()}, refused=False),
    "config_binary": Case(("config-unreadable",), {"config.pbtxt": b"\xff\xfe\x00", "1/model.onnx": onnx_model()}),
    "config_syntax": onnx_case("config-syntax", "max_batch_sise: 3"),
    "config_brace": onnx_case("config-syntax", "parameters {", line=""),
    "field_newer": onnx_case("field-newer", "model_metrics { }"),
    "unpublished": Case(("unpublished",), {"config.pbtxt": config()}),
    "no_version": onnx_case("no-version", "version_policy { specific { versions: 7 } }"),
    "latest_zero": onnx_case("no-version", "version_policy { latest { num_versions: 0 } }"),
    "pinned_missing": onnx_case("pinned-version-missing", "version_policy { specific { versions: [ 1, 7 ] } }", refused=False),
    "version_name": Case(("version-name", "model-file-missing"), {**onnx_case("").files, "3.tmp": None}),
    "version_ignored": Case(("version-ignored",), {**onnx_case("").files, "007": None}, refused=False),
    "version_huge": Case(("version-ignored",), {**onnx_case("", "version_policy { specific { versions: 1 } }").files, "99999999999": None}, refused=False),
    "version_empty": Case(("model-file-missing",), {"config.pbtxt": config(), "1": None}),
    "file_missing": Case(("model-file-missing",), {"config.pbtxt": config(), "1/other.onnx": onnx_model()}),
    "file_named": onnx_case("model-file-missing", "default_model_filename: 'net.onnx'", line=""),
    "stray": Case(("stray-entry",), {**onnx_case("").files, "notes.txt": "x"}, refused=False),
    "stray_desktop": Case(("stray-entry",), {**onnx_case("").files, ".DS_Store": "x"}, refused=False, fixed=True),
    "stray_folder": Case(("stray-entry",), {**onnx_case("").files, "old/model.onnx": "x"}, refused=False),
    "manifest": Case(("manifest-differs",), {**onnx_case("").files, "1/manifest.json": manifest(model_onnx=3)}, refused=False),
    "manifest_broken": Case(("manifest-differs",), {**onnx_case("").files, "1/manifest.json": "[]"}, refused=False),
}  # fmt: skip

FIELDS: dict[str, Case] = {
    "backend_missing": Case(("backend-missing",), {"config.pbtxt": config(backend=""), "1/net.bin": "x"}),
    "backend_unknown": onnx_case("backend-unknown", backend='backend: "onxruntime"', line="onxruntime"),
    "platform_differs": onnx_case("platform-differs", 'platform: "pytorch_libtorch"'),
    "platform_unknown": onnx_case("platform-differs", 'platform: "onnx"', backend=""),
    "batch_negative": onnx_case("batch-size", batch=-1, line="max_batch_size"),
    "tensor_nameless": python_case("tensor-incomplete", x="data_type: TYPE_FP32 dims: 2", line="input {"),
    "tensor_typeless": python_case("tensor-incomplete", x="name: 'x' dims: 2", line="input {"),
    "tensor_dimless": python_case("tensor-incomplete", x="name: 'x' data_type: TYPE_FP32", line="input {"),
    "dims_zero": python_case("tensor-dims", y="name: 'y' data_type: TYPE_FP32 dims: [ 2, 0 ]", line="output {"),
    "dims_negative": python_case("tensor-dims", x="name: 'x' data_type: TYPE_FP32 dims: -2", line="input {"),
    "reshape": python_case("tensor-reshape", x=f"{X} reshape {{ shape: 3 }}", line="reshape"),
    "reshape_wildcards": python_case("tensor-reshape", x="name: 'x' data_type: TYPE_FP32 dims: [ 2, -1 ] reshape { shape: [ -1, 2 ] }", line="reshape"),
    "format": python_case("tensor-format", x=f"{X} format: FORMAT_NCHW", line="FORMAT_NCHW"),
    "shape_tensor": python_case("tensor-format", x=f"{X} is_shape_tensor: true", line="is_shape_tensor"),
    "duplicate": python_case("tensor-duplicate", f"input {{ {X} }}", refused=False),
    "batch_input": python_case("batch-io", "batch_input { kind: BATCH_ELEMENT_COUNT target_name: 'n' data_type: TYPE_FP32 source_input: 'z' }"),
    "batch_output": python_case("batch-io", "batch_output { target_name: 'z' kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: 'x' }"),
    "labels_missing": python_case("label-file-missing", y=f"{Y} label_filename: 'labels.txt'", line="label_filename"),
    "labels_three": Case(("label-count",), {**python_case("", y=f"{Y} label_filename: 'names.txt'").files, "names.txt": "a\nb\nc\n"}, line="label_filename", refused=False),
    "preferred_large": onnx_case("preferred-batch-size", "dynamic_batching { preferred_batch_size: [ 4, 64 ] }", fixed=True),
    "preferred_zero": onnx_case("preferred-batch-size", "dynamic_batching { preferred_batch_size: 0 }", fixed=True),
    "batching_idle": onnx_case("batching-idle", "dynamic_batching { max_queue_delay_microseconds: 100 }", batch=1, refused=False, fixed=True),
    "queue_delay": onnx_case("queue-delay", "dynamic_batching { max_queue_delay_microseconds: 5000000 }", refused=False),
    "priority_default": onnx_case("priority-levels", "dynamic_batching { priority_levels: 2 default_priority_level: 3 }"),
    "priority_policy": onnx_case("priority-levels", "dynamic_batching { priority_levels: 2 default_priority_level: 1 priority_queue_policy { key: 5 value { max_queue_size: 1 } } }"),
    "ordering": onnx_case("preserve-ordering", "dynamic_batching { preserve_ordering: true priority_levels: 2 default_priority_level: 1 }"),
    "ordering_delay": onnx_case("preserve-ordering", "dynamic_batching { preserve_ordering: true default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 9 } }"),
    "cache_decoupled": python_case("response-cache", "response_cache { enable: true }\nmodel_transaction_policy { decoupled: true }", line="response_cache", fixed=True),
    "instance_gpu": onnx_case("instance-gpu", group="{ count: 1 kind: KIND_GPU }", line="KIND_GPU", fixed=True),
    "instance_cpu_gpus": onnx_case("instance-group", group="{ count: 1 kind: KIND_CPU gpus: [ 0 ] }", line="gpus", fixed=True),
    "instance_profile": onnx_case("instance-group", group="{ count: 1 profile: '0' }", line="profile", fixed=True),
    "threads": onnx_case("threads-over-cores", 'parameters { key: "intra_op_thread_count" value { string_value: "1" } }', group="{ count: 9 }", line="instance_group", refused=None, why="nine processes"),
    "threads_default": onnx_case("threads-over-cores", group="", line="backend", refused=None, why="two processes"),
    "parameter_unknown": onnx_case("parameter-unknown", 'parameters { key: "intra_op_threads" value { string_value: "1" } }', refused=False),
    "parameter_python": python_case("parameter-unknown", 'parameters { key: "EXECUTION_ENV_PAHT" value { string_value: "1" } }', refused=False),
    "parameter_value": onnx_case("parameter-value", 'parameters { key: "intra_op_thread_count" value { string_value: "two" } }'),
    "parameter_mode": onnx_case("parameter-value", 'parameters { key: "execution_mode" value { string_value: "2" } }'),
    "parameter_boolean": onnx_case("parameter-value", 'parameters { key: "enable_mem_arena" value { string_value: "yes" } }'),
    "key_twice": python_case("key-twice", 'parameters { key: "a" value { string_value: "1" } }\nparameters { key: "a" value { string_value: "2" } }', line='"2"', refused=False),
    "accelerator": onnx_case("accelerator-unknown", "optimization { execution_accelerators { gpu_execution_accelerator { name: 'tensor_rt' } } }"),
    "warmup_name": python_case("warmup", "model_warmup { name: 'w' batch_size: 1 inputs { key: 'z' value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }"),
    "warmup_missing": python_case("warmup", "model_warmup { name: 'w' batch_size: 1 }"),
    "warmup_dims": python_case("warmup", "model_warmup { name: 'w' batch_size: 1 inputs { key: 'x' value { data_type: TYPE_FP32 dims: -1 zero_data: true } } }"),
    "warmup_file": python_case("warmup", "model_warmup { name: 'w' batch_size: 1 inputs { key: 'x' value { data_type: TYPE_FP32 dims: 2 input_data_file: 'x.bin' } } }"),
}  # fmt: skip

START = "control { kind: CONTROL_SEQUENCE_START"
SEQUENCES: dict[str, Case] = {
    "cache_sequence": python_case("response-cache", "response_cache { enable: true }\n" + sequence(""), line="response_cache", fixed=True),
    "preferred_sequence": python_case("preferred-batch-size", sequence("oldest { preferred_batch_size: 9 }"), fixed=True),
    "utilization": python_case("sequence-utilization", sequence("direct { minimum_slot_utilization: 1.5 }")),
    "control_nameless": python_case("sequence-control", sequence(f"control_input {{ {START} int32_false_true: [ 0, 1 ] }} }}")),
    "control_twice": python_case("sequence-control", sequence(f"control_input {{ name: 'a' {START} int32_false_true: [ 0, 1 ] }} }} control_input {{ name: 'b' {START} int32_false_true: [ 0, 1 ] }} }}")),
    "control_valueless": python_case("sequence-control", sequence(f"control_input {{ name: 'a' {START} }} }}")),
    "control_one_value": python_case("sequence-control", sequence(f"control_input {{ name: 'a' {START} fp32_false_true: 1 }} }}")),
    "control_corrid": python_case("sequence-control", sequence("control_input { name: 'a' control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } }")),
    "state_initial": python_case("state-initial", sequence(state("a", "b", "dims: 2 data_type: TYPE_INT32 zero_data: true name: 'zero'"))),
    "state_initial_dims": python_case("state-initial", sequence(state("a", "b", "dims: 3 data_type: TYPE_FP32 zero_data: true name: 'zero'"))),
    "state_initial_name": python_case("state-initial", sequence(state("a", "b", "dims: 2 data_type: TYPE_FP32 zero_data: true"))),
    "state_initial_data": python_case("state-initial", sequence(state("a", "b", "dims: 2 data_type: TYPE_FP32 name: 'n'"))),
    "state_order": onnx_case("state-order", sequence(f"oldest {{}} {state('a_in', 'b_out')} {state('b_in', 'a_out')}"), model=onnx_model(states=True), refused=False),
}  # fmt: skip

GRAPHS: dict[str, Case] = {
    "truncated": onnx_case("onnx-unreadable", model=onnx_model()[:60], line=""),
    "empty": onnx_case("onnx-unreadable", model=b"", line=""),
    "opset": onnx_case("onnx-opset", model=onnx_model(opset=22), line="", refused=None, why="our backend holds a newer ONNX Runtime"),
    "opset_unheard_of": onnx_case("onnx-opset", model=onnx_model(opset=99), line=""),
    "ir": onnx_case("onnx-ir", model=onnx_model(ir_version=11), line="", refused=None, why="our backend holds a newer ONNX Runtime"),
    "ir_unheard_of": onnx_case("onnx-ir", model=onnx_model(ir_version=99), line=""),
    "operator": onnx_case("onnx-operator", model=onnx_model(operator="Nope", domain="com.example"), line=""),
    "external_outside": onnx_case("onnx-external-outside", model=onnx_model(change=external("../../relu/1/model.onnx")), line=""),
    "external_missing": onnx_case("onnx-external-missing", model=onnx_model(change=external("weights.bin")), line=""),
    "io_count": onnx_case("io-count", model=onnx_model(operator="Add", inputs=("x", "z")), line="input {"),
    "io_name": onnx_case("io-name", x=X.replace("'x'", "'z'"), line="'z'"),
    "io_output": onnx_case("io-name", y=Y.replace("'y'", "'z'"), line="'z'"),
    "io_control": onnx_case("io-name io-count", sequence(f"control_input {{ name: 'start' {START} int32_false_true: [ 0, 1 ] }} }}"), line="input {"),
    "io_datatype": onnx_case("io-datatype", x=X.replace("FP32", "INT64"), line="TYPE_INT64"),
    "io_dims": onnx_case("io-shape", x=X.replace("dims: 2", "dims: 3"), line="dims: 3"),
    "io_rank": onnx_case("io-shape", x=X.replace("dims: 2", "dims: [ 8, 2 ]"), line="dims: [ 8, 2 ]"),
    "io_output_dims": onnx_case("io-shape", y=Y.replace("dims: 2", "dims: -1"), line="dims: -1"),
    "io_batch_axis": onnx_case("io-batch-axis", model=onnx_model(batch=4), line="max_batch_size"),
    "io_batch_listed": onnx_case("io-shape", batch=0, line="dims: 2"),
    "io_optional": onnx_case("io-optional io-count", x=f"{X} optional: true", line="input {"),
    "python_syntax": python_case("python-model", model=b"class TritonPythonModel\n", line=""),
    "python_class": python_case("python-model", model=b"class Model:\n    pass\n", line=""),
}  # fmt: skip

ENSEMBLES: dict[str, Case] = {
    "ensemble_group": ensemble("ensemble-fields", step(), more="instance_group { count: 1 }", line="instance_group", fixed=True),
    "ensemble_warmup": ensemble("ensemble-fields", step(), more="model_warmup { name: 'w' }", line="model_warmup", fixed=True),
    "ensemble_nothing": Case(("ensemble-fields",), {"config.pbtxt": 'platform: "ensemble"\n', "1": None}, line="platform"),
    "ensemble_backend": ensemble("platform-differs", step(), more='backend: "onnxruntime"', line="backend"),
    "ensemble_platform": Case(("platform-differs",), {"config.pbtxt": f"ensemble_scheduling {{ {step()} }}\ninput {{ {X} }}\noutput {{ {Y} }}", "1": None}, line="ensemble_scheduling"),
    "ensemble_stepless": ensemble("ensemble-step-incomplete", line="ensemble_scheduling"),
    "ensemble_mapless": ensemble("ensemble-step-incomplete", step(), step(taken=""), line="step"),
    "ensemble_missing": ensemble("ensemble-step-missing", step("nowhere"), line="nowhere"),
    "ensemble_version": ensemble("ensemble-step-version", step(version=7), line="model_version: 7"),
    "ensemble_itself": ensemble("ensemble-circle", step("ensemble_itself"), line="ensemble_itself"),
    "ensemble_twice": ensemble("ensemble-written-twice", step(), step("doubled"), line="doubled"),
    "ensemble_unwritten": ensemble("ensemble-unwritten ensemble-unused", step(taken="y: z"), line="output {"),
    "ensemble_dangling": ensemble("ensemble-unwritten ensemble-unused", step(given="x: z"), line="output {"),
    "ensemble_waiting": ensemble("ensemble-unwritten ensemble-unused", step(given="x: b", taken="y: a"), step("doubled", given="x: a", taken="y: b"), step(given="x: a"), line="output {"),
    "ensemble_unused": ensemble("ensemble-unused", step(), step("doubled", taken="y: rest"), line="rest"),
    "ensemble_map": ensemble("ensemble-map ensemble-unmapped", step(given="z: x"), line="step"),
    "ensemble_map_output": ensemble("ensemble-map", step(taken="z: y"), line="step"),
    "ensemble_unmapped": ensemble("ensemble-unmapped", step("added"), line="step"),
    "ensemble_datatype": ensemble("ensemble-type", step(), x=X.replace("FP32", "INT64"), line="step"),
    "ensemble_shape": ensemble("ensemble-type", step(), y=Y.replace("dims: 2", "dims: 3"), line="step"),
    "ensemble_batch": ensemble("ensemble-batch-size", step(), batch=16, line="step"),
    "ensemble_inflight": ensemble("field-newer", "max_inflight_requests: 4", step(), line="max_inflight_requests"),
}  # fmt: skip

HELPERS: dict[str, Case] = {
    "added": onnx_case("", f"input {{ {X.replace(chr(39) + 'x', chr(39) + 'z')} }}", model=onnx_model(operator="Add", inputs=("x", "z")), refused=False),
}  # fmt: skip

BROKEN: dict[str, Case] = {**FOLDERS, **FIELDS, **SEQUENCES, **GRAPHS, **ENSEMBLES}
CORPUS: dict[str, Case] = {**GOOD, **HELPERS, **BROKEN}


def write(repository: Path, cases: Mapping[str, Case]) -> Path:
    """Writes the models, one folder each."""
    for name, case in cases.items():
        (repository / name).mkdir(parents=True, exist_ok=True)
        for path, content in case.files.items():
            file = repository / name / path
            if content is None:
                file.mkdir(parents=True, exist_ok=True)
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
    return repository
