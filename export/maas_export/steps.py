"""What the pre- and postprocessing of several families have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from maas_core.config import LABELS_FILE, labels_text
from maas_core.golden import Array, Tensors
from maas_core.layout import bundle_dir
from maas_core.spec import ModelSpec, Objective, Serving, TensorSpec, Tolerance
from maas_export.catalogue import PythonModel, Reference
from maas_export.python_models import load_module

FP32_TOLERANCE = {"FP32": Tolerance(absolute=2e-5, relative=2e-5)}


def text_column(texts: Iterable[str]) -> Array:
    """[texts, 1] of BYTES."""
    return np.array([[text.encode()] for text in texts], dtype=np.object_)


def texts_of(column: Array) -> list[str]:
    """The texts of a column of BYTES, in order."""
    return [bytes(value).decode() for value in column.reshape(-1)]


class RankLabels(PythonModel):
    """Logits -> the likeliest classes with their probabilities; rows with an error get none.

    Args:
        name: of the model.
        logits: the network's output, with the names of its classes.
        error: what the preprocessing says about each row, "" where it is good.
        what: what the classes are, in the plural, e.g. ``digits``.
        top_k: how many to name.
        max_batch_size: of the model.
        network: whose bundle says the names of the classes, where its data may have names of its own.
    """

    source = "rank_labels"

    def __init__(
        self,
        name: str,
        logits: TensorSpec,
        error: TensorSpec,
        *,
        what: str,
        top_k: int = 3,
        max_batch_size: int = 32,
        network: str = "",
    ) -> None:
        self._labels = logits.labels
        self._network = network
        self._top_k = top_k
        self.spec = ModelSpec(
            name=name,
            task="postprocessing",
            summary=f"turns logits into the {top_k} likeliest {what}",
            backend="python",
            inputs=(replace(logits, labels=()), error),
            outputs=(
                TensorSpec("label", "BYTES", (top_k,), f"the likeliest {what}, best first"),
                TensorSpec("score", "FP32", (top_k,), "their probabilities, 0 to 1"),
            ),
            serving=Serving(max_batch_size=max_batch_size, parameters={"top_k": str(top_k)}),
            tolerances=FP32_TOLERANCE,
            objective=Objective(p99_ms=20.0),
        )

    @property
    def labels(self) -> Sequence[str]:
        """The names of the classes, in the order of the logits: those in the network's bundle, where there is one."""
        exported = bundle_dir(self._network, "onnx") / LABELS_FILE
        if not self._network or not exported.is_file():
            return self._labels
        return tuple(exported.read_text(encoding="utf-8").splitlines())

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """The names of the classes, which the model reads when it starts."""
        return {LABELS_FILE: labels_text(self.labels)}

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Random logits; from three on, one row carries an error."""
        logits = rng.normal(0.0, 4.0, (size, len(self.labels))).astype(np.float32)
        errors = ["cannot be read" if size > 2 and row == 1 else "" for row in range(size)]
        return {"logits": logits, "error": text_column(errors)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        rank = load_module(self.source, "ranking").rank
        labels, scores = rank(inputs["logits"], texts_of(inputs["error"]), self.labels, self._top_k)
        return {"label": labels, "score": scores}
