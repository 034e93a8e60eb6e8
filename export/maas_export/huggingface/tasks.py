"""The tasks that a folder can be exported for."""

from __future__ import annotations

from dataclasses import dataclass

from maas_core.errors import WrongUse

MODEL, ENCODER, DECODER = "model", "encoder", "decoder"


@dataclass(frozen=True)
class Task:
    """One of the tasks of Hugging Face's ``pipeline()``.

    Attributes:
        auto_class: what builds the model, in ``transformers``.
        parts: the networks that it becomes.
        is_classified: whether labels and scores come of it.
    """

    auto_class: str
    parts: tuple[str, ...] = (MODEL,)
    is_classified: bool = False


TASKS = {
    "feature-extraction": Task("AutoModel"),
    "text-classification": Task("AutoModelForSequenceClassification", is_classified=True),
    "image-classification": Task("AutoModelForImageClassification", is_classified=True),
    "object-detection": Task("AutoModelForObjectDetection"),
    "text-generation": Task("AutoModelForCausalLM"),
    "automatic-speech-recognition": Task("AutoModelForSpeechSeq2Seq", parts=(ENCODER, DECODER)),
    "translation": Task("AutoModelForSeq2SeqLM", parts=(ENCODER, DECODER)),
}


def task_named(name: str | None) -> Task:
    """The task of that name.

    Raises:
        WrongUse: where there is none.
    """
    if name not in TASKS:
        said = "which task?" if name is None else f"there is no task {name!r}"
        raise WrongUse(said, f"give --task {', '.join(TASKS)}")
    return TASKS[name]
