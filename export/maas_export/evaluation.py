"""What a trained classifier is worth on data that training never saw, as numbers and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from maas_core.golden import Array


@dataclass(frozen=True)
class ClassScores:
    """One class against all others, each figure from 0 to 1; ``support`` counts its held-out samples."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """``confusion[i][j]`` counts samples of class ``i`` that were taken for class ``j``."""

    accuracy: float
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def evaluate(wanted: Array, got: Array, labels: Sequence[str]) -> Evaluation:
    """Compares class numbers, [samples] each."""
    numbers = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(wanted, got, labels=numbers, zero_division=0.0)
    matrix = confusion_matrix(wanted, got, labels=numbers)
    return Evaluation(
        accuracy=float(np.mean(wanted == got)),
        classes=tuple(
            ClassScores(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, label in enumerate(labels)
        ),
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
    )


def confusion_picture(evaluation: Evaluation, title: str) -> bytes:
    """The confusion matrix as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    labels = [scores.label for scores in evaluation.classes]
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(6.4, 5.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{title}: accuracy {evaluation.accuracy:.2%} on {counts.sum()} held-out samples")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(
                column,
                row,
                str(count),
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.5 else "black",
            )
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
