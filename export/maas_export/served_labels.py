"""What served answers that name the likeliest labels are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maas_core.errors import WrongUse
from maas_export.evaluation import Evaluation, classification
from maas_export.served_evaluation import Answer, Case, Verdict

_NO_ANSWER = -1


def judge_labels(
    cases: Sequence[Case], answers: Sequence[Answer], labels: Sequence[str], title: str
) -> tuple[Evaluation, list[Verdict]]:
    """Accuracy, F1 and confusion of a model whose outputs are ``label`` and ``score``, best first.

    A wrong answer is the worse, the surer the model was of it; an error is as bad as a wrong answer given for certain.

    Args:
        cases: of one sample each; ``wanted`` is the label.
        answers: to each case.
        labels: all that there are.
        title: of the picture.

    Raises:
        WrongUse: where a case has a label that the model does not know.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for case in cases:
        if case.wanted not in numbers:
            raise WrongUse(f"{case.shown} is labelled {case.wanted!r}", f"the model knows {', '.join(labels)}")
    verdicts = [_verdict(case, answer) for case, answer in zip(cases, answers, strict=True)]
    wanted = np.array([numbers[verdict.wanted] for verdict in verdicts])
    got = np.array([numbers.get(_best(answer), _NO_ANSWER) for answer in answers])
    return classification(wanted, got, labels, title), verdicts


def _best(answer: Answer) -> str:
    return "" if isinstance(answer, str) else bytes(answer["label"].reshape(-1)[0]).decode()


def _verdict(case: Case, answer: Answer) -> Verdict:
    wanted = str(case.wanted)
    if isinstance(answer, str):
        return Verdict(1.0, wanted, f"error: {answer}")
    best, score = _best(answer), float(answer["score"].reshape(-1)[0])
    return Verdict(0.0 if best == wanted else score, wanted, f"{best} ({score:.2f})")
