"""Pre- and postprocessing and ensembles that are what their bundles say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from maas_core.config import LABELS_FILE
from maas_core.errors import NotHeld
from maas_core.golden import Tensors
from maas_core.manifest import read_manifest
from maas_core.spec import ModelSpec
from maas_export.bundle_model import SPEC_FILE, BundleRecord, model_of
from maas_export.catalogue import CatalogueModel, EnsembleModel
from maas_export.huggingface.directory import TOKENIZER_FILE
from maas_export.huggingface.picture import PICTURE_FILE
from maas_export.huggingface.steps import PictureStep, TextStep
from maas_export.steps import RankLabels


class JoinedModel(EnsembleModel):
    """An ensemble of models that describe themselves.

    Args:
        spec: with its steps.
        bundles: the folder of all bundles, where those of the steps are.
    """

    def __init__(self, spec: ModelSpec, bundles: Path) -> None:
        self.spec = spec
        self._bundles = bundles

    def part(self, name: str) -> CatalogueModel:
        """The model of the bundle of that name, or the catalogue's."""
        for path in sorted((self._bundles / name).glob(f"*/{SPEC_FILE}")):
            return model_of(path.parent, read_manifest(path.parent))
        return super().part(name)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """What the first step is asked."""
        return self.part(self.spec.steps[0].model).sample_inputs(rng, size)


def described_model(record: BundleRecord, bundle: Path) -> CatalogueModel:
    """The model of a bundle that holds no ONNX file.

    Raises:
        NotHeld: where a file of it is missing, or this version does not know such a model.
    """
    spec = record.spec
    if spec.backend == "ensemble":
        return JoinedModel(spec, bundle.absolute().parent.parent)
    try:
        if record.source == TextStep.source:
            return TextStep(spec, (bundle / TOKENIZER_FILE).read_bytes())
        if record.source == PictureStep.source:
            return PictureStep(spec, (bundle / PICTURE_FILE).read_bytes())
        if record.source == RankLabels.source:
            return _ranking(spec, tuple((bundle / LABELS_FILE).read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise NotHeld(f"{bundle} is not whole: {error}", "export the model again") from error
    raise NotHeld(f"{bundle} is made of {record.source!r}, which is not known here", "export the model again")


def _ranking(spec: ModelSpec, labels: tuple[str, ...]) -> RankLabels:
    logits, error = spec.inputs
    return RankLabels(
        spec.name,
        replace(logits, labels=labels),
        error,
        what="classes",
        top_k=int(spec.serving.parameters["top_k"]),
        max_batch_size=spec.serving.max_batch_size,
    )
