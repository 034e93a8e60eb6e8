"""Models that no catalogue knows: what a bundle must say of itself so that every later stage can do without one.

``spec.json`` in a bundle holds the spec, how requests are made up for verification, and what was guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from maas_core.dtypes import NUMPY_OF
from maas_core.errors import NotHeld, first_problem
from maas_core.files import write_atomic
from maas_core.golden import GOLDEN_FILE, Array, Sample, Tensors, load_golden
from maas_core.manifest import Manifest
from maas_core.spec import ModelSpec, TensorSpec
from maas_export.catalogue import CatalogueModel, model_named

SPEC_FILE = "spec.json"
_SCHEMA_VERSION = 1
_WORDS = ("a", "model", "answers", "what", "it", "was", "asked", "déjà vu")


@dataclass(frozen=True)
class InputRange:
    """Which values a made-up input takes.

    Attributes:
        kind: ``normal`` (``mean``, ``deviation``), ``uniform`` (``least`` to ``most``), ``integers`` (``low`` to below
            ``high``), ``booleans`` or ``words``.
    """

    kind: Literal["normal", "uniform", "integers", "booleans", "words"]
    low: int = 0
    high: int = 2
    mean: float = 0.0
    deviation: float = 1.0
    least: float = 0.0
    most: float = 1.0


@dataclass(frozen=True)
class Guess:
    """Something that the model file does not say.

    Attributes:
        subject: what had to be decided.
        value: what was taken.
        reason: why.
        option: what says otherwise; empty where nothing does.
    """

    subject: str
    value: str
    reason: str
    option: str = ""


@dataclass(frozen=True)
class Origin:
    """The torch module behind a bundle.

    Attributes:
        said: how a person named it, without its folder.
        sha256: of the file or the folder that it was made from.
    """

    said: str
    sha256: str


@dataclass(frozen=True)
class BundleRecord:
    """What ``spec.json`` holds.

    Attributes:
        spec: as the catalogue would hold it.
        opset: of the ONNX file; 0 for models that are none.
        ranges: the values of made-up requests, by input.
        axis_sizes: the sizes that a dynamic axis is tried with, by its name.
        from_samples: requests are drawn from the golden ones, which a person gave, and not made up.
        has_independent_rung: ``onnx.reference`` can run the graph too.
        guesses: what the file did not say.
        origin: the torch module, where there is one.
        source: of a Python model, the folder of its code in ``server/python_models/``.
    """

    spec: ModelSpec
    opset: int
    ranges: Mapping[str, InputRange]
    axis_sizes: Mapping[str, tuple[int, ...]]
    from_samples: bool
    has_independent_rung: bool
    guesses: tuple[Guess, ...]
    origin: Origin | None = None
    source: str = ""
    schema_version: int = _SCHEMA_VERSION


_RECORD = TypeAdapter(BundleRecord)

USUAL_TOLERANCES = {"FP32": 1e-4, "FP16": 1e-2, "FP64": 1e-6}
"""Absolute and relative: what one library's order of additions differs from another's in networks of some depth."""


class BundleModel(CatalogueModel):
    """A model that is what its bundle says.

    Args:
        record: the bundle's ``spec.json``.
        golden: the bundle's golden samples, from which requests are drawn where they were given by a person.
        folder: of the bundle, where it is written already.
    """

    bundle_format = "onnx"

    def __init__(self, record: BundleRecord, golden: list[Sample], folder: Path | None = None) -> None:
        self.record = record
        self.spec = record.spec
        self.folder = folder
        self._golden = golden

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """As of every model; without a batch axis two requests, so that dynamic axes have two sizes."""
        return super().batch_sizes if self.spec.serving.max_batch_size else (1, 2)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Made-up values in the recorded ranges, or rows of the golden samples.

        The sizes of dynamic axes go by ``size``, so that requests of several sizes have each of them.
        """
        if self.record.from_samples:
            return _rows(self._golden[-1].inputs, rng, size, is_batched=self.spec.serving.max_batch_size > 0)
        sizes = {name: among[size % len(among)] for name, among in self.record.axis_sizes.items()}
        leading = (size,) if self.spec.serving.max_batch_size else ()
        return {
            tensor.name: made_up(tensor, self.record.ranges[tensor.name], (*leading, *_shape(tensor, sizes)), rng)
            for tensor in self.spec.inputs
        }


def made_up(tensor: TensorSpec, among: InputRange, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Random values of an input."""
    dtype = NUMPY_OF[tensor.datatype]
    values: Any
    if among.kind == "words":
        values = np.empty(shape, dtype=np.object_)
        values.reshape(-1)[:] = [_WORDS[index].encode() for index in rng.integers(len(_WORDS), size=values.size)]
        return np.asarray(values)
    if among.kind == "booleans":
        values = rng.random(shape) < 0.5
    elif among.kind == "integers":
        values = rng.integers(among.low, among.high, size=shape)
    elif among.kind == "uniform":
        values = among.least + rng.random(shape) * (among.most - among.least)
    else:
        values = among.mean + rng.standard_normal(shape) * among.deviation
    return np.asarray(values).astype(dtype)


def model_of(bundle: Path, manifest: Manifest) -> CatalogueModel:
    """The model whose bundle this is: the one that it describes itself, else the catalogue's.

    Raises:
        NotHeld: where its ``spec.json`` or golden samples are damaged.
        WrongUse: where the catalogue has no such model.
    """
    if SPEC_FILE not in manifest.files:
        return model_named(manifest.model)
    record = read_record(bundle)
    if record.spec.backend == "onnxruntime":
        return BundleModel(record, load_golden(bundle / GOLDEN_FILE), bundle)
    from maas_export.huggingface.bundled import described_model

    return described_model(record, bundle)


def read_record(bundle: Path) -> BundleRecord:
    """What the bundle says of itself.

    Raises:
        NotHeld: where that is missing or damaged.
    """
    path = bundle / SPEC_FILE
    try:
        return _RECORD.validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NotHeld(f"{path} is missing", "import or export the model again") from error
    except ValidationError as error:
        raise NotHeld(f"{path} is damaged ({first_problem(error, '')})", "import or export the model again") from error


def write_record(bundle: Path, record: BundleRecord) -> None:
    """Writes ``spec.json``; the same record always gives the same bytes."""
    write_atomic(bundle / SPEC_FILE, _RECORD.dump_json(record, indent=1) + b"\n")


def _shape(tensor: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in tensor.dims)


def _rows(inputs: Tensors, rng: np.random.Generator, size: int, *, is_batched: bool) -> Tensors:
    if not is_batched:
        return inputs
    rows = rng.integers(len(next(iter(inputs.values()))), size=size)
    return {name: value[rows] for name, value in inputs.items()}
