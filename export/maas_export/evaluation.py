"""What a trained model is worth on data that training never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from maas_core.golden import Array


@dataclass(frozen=True)
class Evaluation:
    """The figures of one model on one held-out set.

    Attributes:
        measure: the name of the figure by which models of this task are compared, e.g. ``accuracy``.
        figures: all figures by name; ``figures[measure]`` is the headline.
        baselines: what simpler methods reach in ``measure`` on the same data, by name of the method.
        higher_is_better: which way ``measure`` goes.
        samples: how many held-out samples it was measured on.
        details: what the task has beside, as JSON has it; a classifier has ``classes`` and ``confusion``.
        picture: the same, for the eye, as a PNG.
    """

    measure: str
    figures: Mapping[str, float]
    samples: int
    picture: bytes
    baselines: Mapping[str, float] = field(default_factory=dict)
    higher_is_better: bool = True
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The headline."""
        return self.figures[self.measure]

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the picture."""
        return {
            "measure": self.measure,
            "value": self.value,
            "higher_is_better": self.higher_is_better,
            "figures": dict(self.figures),
            "baselines": dict(self.baselines),
            "samples": self.samples,
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class ClassScores:
    """One class against all others, each figure from 0 to 1; ``support`` counts its held-out samples."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def classification(
    wanted: Array, got: Array, labels: Sequence[str], title: str, baselines: Mapping[str, float] | None = None
) -> Evaluation:
    """Compares class numbers, [samples] each; a ``got`` outside the classes (e.g. -1, no answer) is wrong.

    Details: ``classes`` (see :class:`ClassScores`) and ``confusion``, whose ``[i][j]`` counts samples of class ``i``
    that were taken for class ``j``.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    from maas_export.pictures.confusion import confusion_picture

    numbers = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(wanted, got, labels=numbers, zero_division=0.0)
    matrix = confusion_matrix(wanted, got, labels=numbers)
    accuracy = float(np.mean(wanted == got))
    present = np.isin(numbers, np.concatenate([wanted, got]))
    classes = [
        ClassScores(label, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
        for i, label in enumerate(labels)
    ]
    seen = f"{title}: accuracy {accuracy:.2%} on {len(wanted)} held-out samples"
    return Evaluation(
        measure="accuracy",
        figures={"accuracy": accuracy, "macro F1": float(np.mean(f1[present]))},
        samples=len(wanted),
        picture=confusion_picture(matrix, labels, seen),
        baselines=baselines or {},
        details={"classes": [asdict(scores) for scores in classes], "confusion": matrix.tolist()},
    )
