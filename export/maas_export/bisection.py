"""Finding the first node that diverges: in the export from torch, in slimming, or in the file of a bundle.

The network is exported afresh and its graph kept as torch wrote it, before slimming. There every value has the name of
the torch operation that it comes from, so that it can be held against torch; and the values of the bundle's file are
held against those of the same name in that graph.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from maas_core.compare import compare
from maas_core.dtypes import NUMPY_OF, TRITON_OF_NUMPY
from maas_core.errors import NotHeld, WrongUse
from maas_core.golden import GOLDEN_FILE, Array, Tensors, load_golden
from maas_core.manifest import read_manifest
from maas_core.spec import Tolerance, graph_inputs, graph_outputs
from maas_export import weights
from maas_export.bundle import ONNX_FILE
from maas_export.bundle_model import SPEC_FILE
from maas_export.catalogue import TorchModel, torch_model_named
from maas_export.formats.kinds import INT8
from maas_export.graph_signature import graph_problems
from maas_export.intermediate import graph_values, torch_values
from maas_export.ladder import one_line
from maas_export.onnx_export import captured, slimmed, unslimmed

_INT8_SHARE = 0.1
"""A value in 8-bit numbers diverges where it is off by more than this share of its largest magnitude."""
_STAGES = {"export": "the export from torch", "slimming": "slimming", "file": "the file"}


@dataclass(frozen=True)
class Divergence:
    """The first node whose output leaves the tolerance.

    Attributes:
        stage: ``export`` (torch against the graph that it wrote), ``slimming``, or ``file``.
        node: its name in the graph.
        operator: its kind.
        value: the output that diverges; empty where the graph did not run.
        module: where in the network it comes from, outermost part first.
        sample: the golden sample that shows it.
        detail: how far it is off, and what else is known.
    """

    stage: str
    node: str
    operator: str
    value: str
    module: str
    sample: str
    detail: str


@dataclass(frozen=True)
class Bisection:
    """What was found; ``compared`` counts the values of the bundle's file that were held against something."""

    compared: int
    divergence: Divergence | None

    @property
    def in_words(self) -> str:
        """One sentence."""
        found = self.divergence
        if found is None:
            return f"no node diverges ({self.compared} values compared)"
        if not found.node:
            return f"{_STAGES[found.stage]} is not what it should be: {found.detail}"
        return (
            f"{_STAGES[found.stage]} diverges first at node {found.node} ({found.operator}), value {found.value}"
            f"{f', of {found.module}' if found.module else ''}: {found.sample}: {found.detail}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"compared": self.compared, "divergence": asdict(self.divergence) if self.divergence else None}


class _Origin:
    """The network as it is exported now, whose values are right where torch says so.

    Args:
        model: the network.
        stored: the weights behind the bundle.
    """

    def __init__(self, model: TorchModel, stored: weights.StoredWeights) -> None:
        self._model = model
        self._program = captured(model, model.exported(stored.load_into(model.build())).eval())
        self._whole = unslimmed(self._program)
        self._thin = slimmed(self._whole)
        self.modules = {name: _module_of(node) for node in self._whole.graph.node for name in node.output}
        self.weights = {tensor.name: tensor for tensor in self._thin.graph.initializer}

    def values(self, feeds: Tensors, sample: str) -> tuple[dict[str, Array], Divergence | None]:
        """Every value by name, and where the export itself goes wrong."""
        wanted = graph_values(self._whole, feeds)
        outputs = [tensor.name for tensor in graph_outputs(self._model.spec)]
        by_torch = torch_values(self._program, feeds, outputs)
        found = self.first("export", self._whole, by_torch, wanted, sample)
        if found is not None:
            return wanted, found
        thin = graph_values(self._thin, feeds)
        results = {name: wanted[name] for name in outputs}
        if self.first("slimming", self._thin, results, thin, sample) is not None:
            return wanted, self.first("slimming", self._thin, wanted, thin, sample)
        # Its outputs are right: a value inside that is not has got a new meaning by a fusion, and proves nothing.
        renewed = {name for name in wanted.keys() & thin.keys() if not self._close(wanted[name], thin[name])}
        return {name: value for name, value in wanted.items() if name not in renewed}, None

    def first(
        self,
        stage: str,
        graph: onnx.ModelProto,
        wanted: Tensors,
        got: Tensors,
        sample: str,
        share: float = 0.0,
    ) -> Divergence | None:
        """The first node of ``graph`` that gives a value other than the wanted one of the same name.

        Args:
            stage: see :class:`Divergence`.
            graph: whose nodes are looked at, in their order.
            wanted: right values by name; what is not in it is not compared.
            got: the values of ``graph``.
            sample: name of the request.
            share: of the value's largest magnitude, that it may be off beside the spec's tolerance.
        """
        for node in graph.graph.node:
            for name in node.output:
                if name not in wanted or name not in got:
                    continue
                detail = self._difference(name, wanted[name], got[name], share)
                if detail:
                    known = [self._beside(node, graph, wanted)] if stage == "file" and not share else []
                    told = "; ".join([detail, *filter(None, known)])
                    return Divergence(stage, node.name, node.op_type, name, self.modules.get(name, ""), sample, told)
        return None

    def _close(self, wanted: Array, got: Array) -> bool:
        return not self._difference("", wanted, got, 0.0)

    def _difference(self, name: str, wanted: Array, got: Array, share: float) -> str:
        """How ``got`` is off, in a few words; empty where it is not."""
        if wanted.dtype not in TRITON_OF_NUMPY:
            return ""
        datatype = TRITON_OF_NUMPY[wanted.dtype]
        stated = self._model.spec.tolerances.get(datatype)
        tolerances = {}
        if stated is not None:
            largest = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0))
            absolute = stated.absolute * max(largest, 1.0) + share * largest
            tolerances[datatype] = Tolerance(absolute, stated.relative)
        finite = np.isfinite(wanted).all() if wanted.dtype.kind == "f" else True
        if not finite:
            # A mask of minus infinity is right inside a network.
            return "" if np.array_equal(wanted, got, equal_nan=True) else "is infinite elsewhere than it should be"
        (result,) = compare({name: wanted}, {name: got}, tolerances)
        if result.passed:
            return ""
        return f"{result.detail} (off by {result.max_absolute:.2g})" if result.max_absolute else result.detail

    def _beside(self, node: onnx.NodeProto, graph: onnx.ModelProto, wanted: Tensors) -> str:
        """What about the node's inputs explains it: a weight that differs, or a node that the export does not have."""
        makers = {name: other for other in graph.graph.node for name in other.output}
        held = {tensor.name: tensor for tensor in graph.graph.initializer}
        for name in node.input:
            if name in held and name in self.weights and not _same(held[name], self.weights[name]):
                return f"its weight {name} is not the exported one"
            if name in makers and name not in wanted:
                return f"its input {name} comes from {makers[name].op_type}, which the export does not have there"
        return ""


def bisect_bundle(bundle: Path) -> Bisection:
    """Looks for the first node that diverges on the golden samples of a bundle.

    Raises:
        WrongUse: where the bundle holds no ONNX graph.
        NotHeld: where it is no bundle, or its torch weights are not on this machine.
    """
    manifest = read_manifest(bundle)
    if not (bundle / ONNX_FILE).is_file():
        raise WrongUse(f"{bundle} holds no ONNX graph", "name the bundle of a network, in a format of ONNX")
    if SPEC_FILE in manifest.files:
        raise WrongUse(
            f"{bundle} is not of the catalogue, whose networks alone are bisected", "verify it without --bisect"
        )
    model = torch_model_named(manifest.model)
    stored = weights.by_digest(model.name, manifest.weights.sha256) if manifest.weights else None
    if stored is None:
        raise NotHeld(f"the torch weights behind {bundle} are not on this machine", "copy build/weights/ here")
    try:
        suspect = onnx.load(bundle / ONNX_FILE, load_external_data=False)
    except Exception as error:  # noqa: BLE001  # onnx raises many types for a file that is no model
        return _unusable(one_line(error))
    origin = _Origin(model, stored)
    share = _INT8_SHARE if manifest.format == INT8 else 0.0
    compared = 0
    for sample in load_golden(bundle / GOLDEN_FILE):
        feeds = _feeds(model, sample.inputs)
        wanted, found = origin.values(feeds, sample.name)
        if found is None:
            try:
                got = graph_values(suspect, feeds)
            except Exception as error:  # noqa: BLE001  # onnxruntime raises many types for a graph that does not run
                return _unusable(f"{sample.name}: {one_line(error)}")
            compared = max(compared, len(wanted.keys() & got.keys()))
            found = origin.first("file", suspect, wanted, got, sample.name, share)
        if found is not None:
            return Bisection(compared, found)
    problems = graph_problems(suspect, model.spec)
    return _unusable("; ".join(problems)) if problems else Bisection(compared, None)


def _unusable(reason: str) -> Bisection:
    return Bisection(0, Divergence("file", "", "", "", "", "", reason))


def _feeds(model: TorchModel, inputs: Tensors) -> Tensors:
    """What the graph takes, in its order; the steps of a stateful model make a batch here, and its states are zero."""
    size = len(next(iter(inputs.values())))
    states = model.spec.sequence.states if model.spec.sequence else ()
    zero = {state.input: np.zeros((size, *state.dims), NUMPY_OF[state.datatype]) for state in states}
    return {tensor.name: {**inputs, **zero}[tensor.name] for tensor in graph_inputs(model.spec)}


def _module_of(node: onnx.NodeProto) -> str:
    """The path of the module that a node comes from, without the operation itself, e.g. ``conv1: …Conv2d``."""
    told = next((entry.value for entry in node.metadata_props if entry.key == "namespace"), "")
    parts = [part.strip() for part in told.split("/")][1:-1]
    return parts[-1] if parts else ""


def _same(one: onnx.TensorProto, other: onnx.TensorProto) -> bool:
    return np.array_equal(numpy_helper.to_array(one), numpy_helper.to_array(other))
