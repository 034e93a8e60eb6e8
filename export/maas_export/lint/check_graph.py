"""The configuration held against the ONNX file, as NVIDIA's onnxruntime backend does (``ValidateInputs`` and others of
``onnxruntime.cc``), and the file held against the target's ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from maas_core.dtypes import config_name
from maas_export.lint.inspection import Inspection, Tensor, enum_name, graph_tensor
from maas_export.lint.onnx_header import OnnxHeader

PLAIN_DOMAIN = ""
ML_DOMAIN = "ai.onnx.ml"
KNOWN_DOMAINS = frozenset({PLAIN_DOMAIN, ML_DOMAIN, "com.microsoft", "com.microsoft.nchwc", "ai.onnx.preview.training"})
"""The domains whose operators ONNX Runtime's CPU build has."""


def check_graph(inspection: Inspection) -> None:
    """Every served version of an ONNX model."""
    model = inspection.model
    if model.backend != "onnxruntime" or model.is_ensemble or inspection.config.max_batch_size < 0:
        return
    for folder in model.served.values():
        path = folder / model.model_file
        if path.is_dir():
            path = path / model.model_file
        if path.is_file():
            _check_file(inspection, path)


def _check_file(inspection: Inspection, path: Path) -> None:
    header = inspection.header(path)
    if isinstance(header, str):
        inspection.report("onnx-unreadable", header, path=path)
        return
    _check_formats(inspection, header, path)
    _check_operators(inspection, header, path)
    _check_external(inspection, header, path)
    graph = _Graph(header)
    config = inspection.config
    if config.input or config.batch_input:
        _check_inputs(inspection, graph)
    if config.output:
        _check_outputs(inspection, graph)
    _check_controls_and_states(inspection, graph)
    _check_batch_axis(inspection, graph)


class _Graph:
    """A graph's tensors in Triton's terms."""

    def __init__(self, header: OnnxHeader) -> None:
        self.inputs = {name: graph_tensor(tensor) for name, tensor in header.inputs.items()}
        self.outputs = {name: graph_tensor(tensor) for name, tensor in header.outputs.items()}
        self.acceptable = self.inputs | {name: graph_tensor(tensor) for name, tensor in header.overridable.items()}
        everything = {**header.outputs, **header.overridable, **header.inputs}
        self.without_shape = {name for name, tensor in everything.items() if tensor.shape is None}


def _check_formats(inspection: Inspection, header: OnnxHeader, path: Path) -> None:
    target = inspection.options.target
    limits = target.limits
    who = f"ONNX Runtime {target.onnxruntime} of Triton {target.name}"
    if header.ir_version > limits.ir_version:
        what = f"Unsupported model IR version: {header.ir_version}, {who} reads up to {limits.ir_version}"
        inspection.report("onnx-ir", what, path=path)
    for domain, newest in ((PLAIN_DOMAIN, limits.opset), (ML_DOMAIN, limits.ml_opset)):
        opset = header.opsets.get(domain, 0)
        if opset > newest:
            what = f"opset {opset} of {domain or 'ai.onnx'}, {who} reads up to {newest}"
            inspection.report("onnx-opset", what, path=path)


def _check_operators(inspection: Inspection, header: OnnxHeader, path: Path) -> None:
    if inspection.config.model_operations.op_library_filename:
        return
    unknown = sorted(
        f"{domain}.{name}"
        for domain, name in header.operators - header.functions
        if domain not in KNOWN_DOMAINS
    )  # fmt: skip
    if unknown:
        what = f"No Op registered for {', '.join(unknown[:3])}{' and more' if len(unknown) > 3 else ''}"
        inspection.report("onnx-operator", what, path=path)


def _check_external(inspection: Inspection, header: OnnxHeader, path: Path) -> None:
    for location in header.external:
        if leaves_folder(location, path.parent):
            inspection.report("onnx-external-outside", f"external data lies in {location!r}", path=path)
        elif not (path.parent / location).is_file():
            inspection.report("onnx-external-missing", f"external data {location!r} is missing", path=path)


def leaves_folder(location: str, folder: Path) -> bool:
    """Whether the external data of an ONNX file in ``folder`` lies elsewhere: by its path, or by a link."""
    parts = PurePosixPath(location.replace("\\", "/"))
    if not location or parts.is_absolute() or ".." in parts.parts or ":" in location:
        return True
    return not (folder / location).resolve().is_relative_to(folder.resolve())


def _check_inputs(inspection: Inspection, graph: _Graph) -> None:
    config = inspection.config
    expected = (
        sum(not entry.optional for entry in config.input)
        + len(config.batch_input)
        + len(config.sequence_batching.control_input)
        + len(config.sequence_batching.state)
    )
    if expected != len(graph.inputs):
        what = f"configuration expects {expected} inputs, model provides {len(graph.inputs)}: {_names(graph.inputs)}"
        inspection.report("io-count", what, ("input",))
    for index, entry in enumerate(config.input):
        at = ("input", index)
        if entry.optional and config.max_batch_size > 0:
            what = f"optional input '{entry.name}' is not supported for models that support batching"
            inspection.report("io-optional", what, (*at, "optional"))
        found = _found(inspection, "input", entry.name, graph.acceptable, (*at, "name"))
        if found is not None:
            _check_datatype(inspection, entry, found, (*at, "data_type"))
            if not entry.allow_ragged_batch and found.name not in graph.without_shape:
                _check_shape(inspection, entry, found, (*at, "dims"), exact=False)


def _check_outputs(inspection: Inspection, graph: _Graph) -> None:
    scattered = {name for entry in inspection.config.batch_output for name in entry.target_name}
    for index, entry in enumerate(inspection.config.output):
        at = ("output", index)
        found = _found(inspection, "output", entry.name, graph.outputs, (*at, "name"))
        if found is not None:
            _check_datatype(inspection, entry, found, (*at, "data_type"))
            if entry.name not in scattered and found.name not in graph.without_shape:
                _check_shape(inspection, entry, found, (*at, "dims"), exact=True)


def _check_controls_and_states(inspection: Inspection, graph: _Graph) -> None:
    batching = inspection.config.sequence_batching
    for index, control in enumerate(batching.control_input):
        if control.name not in graph.inputs:
            what = f"sequence control '{control.name}': model does not provide that input"
            inspection.report("io-name", what, ("sequence_batching", "control_input", index, "name"))
    for index, state in enumerate(batching.state):
        for side, name, tensors in (
            ("input", state.input_name, graph.inputs),
            ("output", state.output_name, graph.outputs),
        ):
            at = ("sequence_batching", "state", index)
            found = _found(inspection, f"{side} state", name, tensors, (*at, f"{side}_name"))
            if found is not None:
                _check_datatype(inspection, state, found, (*at, "data_type"))


def _found(
    inspection: Inspection, role: str, name: str, tensors: Mapping[str, Tensor], at: tuple[str | int, ...]
) -> Tensor | None:
    found = tensors.get(name)
    if found is None and name:
        inspection.report("io-name", f"unexpected inference {role} '{name}', allowed are: {_names(tensors)}", at)
    return found


def _check_datatype(inspection: Inspection, entry: Any, found: Tensor, at: tuple[str | int, ...]) -> None:
    wanted = enum_name(entry, "data_type")
    provided = config_name(found.datatype) if found.datatype else "no type that Triton has"
    if wanted != provided:
        what = f"configuration expects datatype {wanted} for '{found.name}', model provides {provided}"
        inspection.report("io-datatype", what, at)


def _check_shape(inspection: Inspection, entry: Any, found: Tensor, at: tuple[str | int, ...], *, exact: bool) -> None:
    dims = tuple(entry.reshape.shape if entry.HasField("reshape") else entry.dims)
    is_batching = inspection.config.max_batch_size > 0
    if not found.dims:
        if any(dim != 1 for dim in dims):
            what = f"scalar tensor '{entry.name}' should only provide 1 in the model configuration"
            inspection.report("io-shape", what, at)
        return
    if is_batching and found.dims[0] != -1:
        return
    wanted = (-1, *dims) if is_batching else dims
    if len(wanted) != len(found.dims) or not all(
        have == want or (have == -1 and not exact) for have, want in zip(found.dims, wanted, strict=True)
    ):
        batch = " (the first for the batch)" if is_batching else ""
        what = (
            f"tensor '{entry.name}': the model expects {list(found.dims)}, the configuration says {list(wanted)}{batch}"
        )
        inspection.report("io-shape", what, at)


def _check_batch_axis(inspection: Inspection, graph: _Graph) -> None:
    """A graph that cannot be batched; said once, of the first tensor."""
    if inspection.config.max_batch_size <= 0:
        return
    listed = {entry.name for entry in (*inspection.config.input, *inspection.config.output)}
    for tensor in (*graph.inputs.values(), *graph.outputs.values()):
        is_looked_at = not listed or tensor.name in listed
        if is_looked_at and tensor.dims and tensor.dims[0] != -1:
            what = (
                f"max_batch_size is {inspection.config.max_batch_size}, but the first dimension of '{tensor.name}' in "
                f"the model is fixed: {list(tensor.dims)}"
            )
            inspection.report("io-batch-axis", what, ("max_batch_size",))
            return


def _names(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(tensors))
