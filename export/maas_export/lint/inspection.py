"""One model under the linter's eyes: what the checks look at, and where they put what they find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maas_core.dtypes import TRITON_OF_ONNX, datatype_of_config
from maas_export.lint.fields import FieldPath
from maas_export.lint.finding import Finding, Severity
from maas_export.lint.onnx_header import GraphTensor, OnnxHeader, OnnxUnreadable, read_header
from maas_export.lint.rules import RULES
from maas_export.lint.scan import Model
from maas_export.lint.targets import Release


@dataclass(frozen=True)
class Options:
    """What the linter knows of the server to be.

    Attributes:
        target: the release of Triton.
        has_gpu: whether its machine has a GPU.
        cores: how many processor cores.
        backends: further backends that it has.
        needs_versions: whether a model without any version is an error.
    """

    target: Release
    has_gpu: bool
    cores: int
    backends: frozenset[str] = frozenset()
    needs_versions: bool = False


@dataclass(frozen=True)
class Tensor:
    """An input or output as callers see it.

    Attributes:
        datatype: Triton's name; empty where it has none.
        dims: without the batch axis; -1 is any size.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = False


@dataclass
class Inspection:
    """One model, what is around it, and what was found.

    Attributes:
        others: all models of the repository by name, this one included.
        headers: what ONNX files say, read once each; a text is the reason why one cannot be read.
    """

    model: Model
    others: Mapping[str, Model]
    options: Options
    headers: dict[Path, OnnxHeader | str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def config(self) -> Any:
        """The configuration; checks that need one run only where there is one."""
        return self.model.config

    def report(
        self,
        rule_id: str,
        what: str,
        at: FieldPath = (),
        *,
        path: Path | None = None,
        line: int | None = None,
        severity: Severity | None = None,
    ) -> None:
        """Notes a finding.

        Args:
            rule_id: of :data:`maas_export.lint.rules.RULES`.
            what: what is wrong, one line.
            at: the field of the configuration that it is about.
            path: another file or folder that it is about.
            line: the line in ``path``.
            severity: where it is not the rule's.
        """
        rule = RULES[rule_id]
        if path is None and at:
            line = self.model.fields.line_of(at)
        place = path or self.model.config_path
        self.findings.append(Finding(rule, self.model.name, place, line, what, severity or rule.severity))

    def header(self, path: Path) -> OnnxHeader | str:
        """What an ONNX file says about itself, or why it cannot be read."""
        if path not in self.headers:
            try:
                self.headers[path] = read_header(path)
            except (OnnxUnreadable, OSError) as error:
                self.headers[path] = " ".join(str(error).split())
        return self.headers[path]

    def tensors(self, model: Model, side: str) -> tuple[Tensor, ...] | None:
        """The inputs or outputs of a model, as Triton completes them; ``None`` where they cannot be told."""
        if model.config is None:
            return None
        entries = getattr(model.config, side)
        if entries:
            return tuple(_tensor(entry, model) for entry in entries)
        if model.backend != "onnxruntime" or not model.served:
            return None
        header = self.header(max(model.served.items())[1] / model.model_file)
        if isinstance(header, str):
            return None
        graph = header.inputs if side == "input" else header.outputs
        found = [graph_tensor(tensor) for tensor in graph.values()]
        return tuple(Tensor(one.name, one.datatype, one.dims[1:] or (1,)) for one in found)


def graph_tensor(tensor: GraphTensor) -> Tensor:
    """A tensor of a graph in Triton's terms, with the batch axis still in its dims."""
    return Tensor(tensor.name, TRITON_OF_ONNX.get(tensor.element_type, ""), tensor.shape or ())


def enum_name(message: Any, field_name: str) -> str:
    """The name of the value that an enum field has, e.g. ``TYPE_FP32``."""
    values = message.DESCRIPTOR.fields_by_name[field_name].enum_type.values_by_number
    return str(values[getattr(message, field_name)].name)


def each_tensor(config: Any) -> Iterator[tuple[str, int, Any]]:
    """(``input`` or ``output``, index, entry) of every entry."""
    for side in ("input", "output"):
        for index, entry in enumerate(getattr(config, side)):
            yield side, index, entry


def _tensor(entry: Any, model: Model) -> Tensor:
    dims = entry.reshape.shape if model.is_ensemble and entry.HasField("reshape") else entry.dims
    return Tensor(
        entry.name,
        datatype_of_config(enum_name(entry, "data_type")),
        tuple(dims),
        bool(getattr(entry, "optional", False)),
    )
