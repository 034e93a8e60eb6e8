"""Is this a digit at all? An autoencoder that knows digits only, and the steps that make an answer of its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from maas_core.errors import WrongUse
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec
from maas_export.catalogue import Card, EnsembleModel, PythonModel, Reference, TorchModel, model_named
from maas_export.data import digits as digit_data
from maas_export.data.scenes import page_of
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.picture_inputs import PICTURE, PICTURE_ERROR, labelled_pictures, picture_column, png_bytes
from maas_export.python_models import load_module
from maas_export.recipe import Recipe
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.serving_choice import serving_for
from maas_export.steps import FP32_TOLERANCE, text_column, texts_of

if TYPE_CHECKING:
    import torch
    from torch import nn

_SIZE = 28
_MAX_BATCH = 32
_BATCH = 256
_THRESHOLD = 0.22
"""About one held-out digit in a hundred has a higher score."""
_SHOWN = 12
DIGITS, LETTERS, PRINTED = "digits", "letters", "printed digits"
LIKE_DIGITS = "letters like digits"
_MEASURE = f"AUROC {LETTERS}"
_REFUSAL = "no digit found"
"""How `digits_preprocess` begins to say that a picture shows nothing."""

_IMAGE = TensorSpec("image", "FP32", (1, _SIZE, _SIZE), "ink of the centred digit, 0 (ground) to 1 (ink)")
_TOLD = TensorSpec("told", "FP32", (1, _SIZE, _SIZE), "the ink as the network tells it again")
_TOLD_ERROR = TensorSpec(
    "told_error", "FP32", (1,), "how far what it tells is from the ink: root mean square over the pixels, 0 to 1"
)
_SCORE = TensorSpec("score", "FP32", (1,), "how unlike a digit: 0 for a digit that could be told wholly")
_IS_ANOMALY = TensorSpec("is_anomaly", "BOOL", (1,), "whether the score is above the threshold")


class DigitAutoencoder(TorchModel):
    """The network by itself: 28×28 ink in, the ink as it can tell it again and the error of that out."""

    spec = ModelSpec(
        name="digit_autoencoder",
        task="anomaly detection",
        summary="tells 28×28 ink again as far as it is a digit",
        backend="onnxruntime",
        inputs=(_IMAGE,),
        outputs=(_TOLD, _TOLD_ERROR),
        serving=serving_for("digit_autoencoder", default=Serving(max_batch_size=_MAX_BATCH, instances=2)),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
        refuses_nonfinite=True,
    )
    card = Card(
        architecture="two convolutions and two linear layers down to 12 numbers, the reverse with transposed "
        "convolutions; the score is the root mean square of the difference",
        data="scikit-learn's handwritten digits (8×8), turned, slanted, bent, thickened at random; nothing else",
        licence="data: UCI Optical Recognition of Handwritten Digits, CC BY 4.0; letters for the evaluation are drawn "
        "with the DejaVu fonts",
        intended_use="to notice input that is no handwritten digit before a classifier names one all the same",
        limits="letters that people write like digits (O, I, l, S, Z, B, …) are not told apart and not counted in the "
        "headline (`AUROC letters like digits` counts them, `AUROC all letters` all 52); printed digits are unusual to "
        "it as well, though less than letters (`AUROC letters against printed digits`)",
    )
    example = MappingProxyType({"image": Path("examples/digit_autoencoder/image.json")})
    borrows = ("digits_preprocess",)
    recipe = Recipe(epochs=16, batch_size=64, learning_rate=2e-3, optimizer="adamw")

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.autoencoder import AutoencoderNet

        return AutoencoderNet()

    def load_data(self, path: Path | None, seed: int) -> Split:
        """scikit-learn's digits, or the user's (see :mod:`maas_export.data.digits`)."""
        return digit_data.built_in(seed) if path is None else digit_data.from_path(path, seed)

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """Other writers of the same digits."""
        from maas_export.data.digit_writers import augmented

        return {"image": augmented(train["ink"], rng)}

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy of every pixel, nats."""
        from torch.nn import functional

        told, _ = module(batch["image"])
        return functional.binary_cross_entropy(told, batch["image"])

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """How well the error tells held-out digits from noise, shuffled pixels and letters."""
        from maas_export.data.other_shapes import kinds_of_shapes

        kinds = kinds_of_shapes(split.test["ink"])
        scores = {name: _errors(module, image) for name, image in kinds.items()}
        return _evaluated(scores, {name: image[:, 0] for name, image in kinds.items()}, self.name)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """As for `digits_cnn`: real digits and, every fourth, noise."""
        return model_named("digits_cnn").sample_inputs(rng, size)


class AnomalyPostprocess(PythonModel):
    """The error -> is it an anomaly."""

    spec = ModelSpec(
        name="anomaly_postprocess",
        task="postprocessing",
        summary="holds the autoencoder's error against a threshold",
        backend="python",
        inputs=(_TOLD_ERROR, PICTURE_ERROR),
        outputs=(_SCORE, _IS_ANOMALY),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"threshold": str(_THRESHOLD)}),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Random errors on both sides of the threshold; from three on, one row carries an error."""
        errors = ["cannot be read" if size > 2 and row == 1 else "" for row in range(size)]
        return {"told_error": rng.random((size, 1), dtype=np.float32), "error": text_column(errors)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        judge = load_module("anomaly_postprocess", "judging").judge
        score, is_anomaly = judge(inputs["told_error"], texts_of(inputs["error"]), _THRESHOLD)
        return {"score": score, "is_anomaly": is_anomaly}


class DigitAnomaly(EnsembleModel, Judged):
    """Picture -> is it something else than a digit: what an application calls."""

    spec = ModelSpec(
        name="digit_anomaly",
        task="anomaly detection",
        summary="tells whether a picture shows something else than a handwritten digit",
        backend="ensemble",
        inputs=(PICTURE,),
        outputs=(_SCORE, _IS_ANOMALY, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=100.0),
        steps=(
            Step("digits_preprocess", {"picture": "picture"}, {"image": "image", "error": "error"}),
            Step("digit_autoencoder", {"image": "image"}, {"told_error": "told_error"}),
            Step(
                "anomaly_postprocess",
                {"told_error": "told_error", "error": "error"},
                {"score": "score", "is_anomaly": "is_anomaly"},
            ),
        ),
    )
    card = Card(
        architecture="picture -> ink, centred -> `digit_autoencoder` -> score and threshold",
        data="see `digit_autoencoder`",
        licence="see `digit_autoencoder`",
        intended_use="beside `digits`: to doubt its answer where the picture shows something else",
        limits="see `digit_autoencoder`; a picture without any ink gets an `error`, not a score",
    )
    example = MappingProxyType({"picture": Path("examples/digits/3_thick_marker.png")})

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """As for `digits`."""
        return model_named("digits").sample_inputs(rng, size)

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Pictures of digits and of other things, or the held-out digits, noise and drawn letters as PNG.

        The user's are labelled ``digit`` (or ``0`` to ``9``), or with any other word for what is no digit.
        """
        from maas_export.data.other_shapes import kinds_of_shapes

        if path is not None:
            found = [
                Case(file.name, {"picture": picture_column([file.read_bytes()])}, _kind_of(label))
                for file, label in labelled_pictures(path)
            ]
            _require_both_kinds(_names(found))
            # Digits first, so that a few cases spread over all are of both kinds.
            return sorted(found, key=lambda case: (case.wanted != DIGITS, case.wanted))
        return [
            Case(f"{name} {number}", {"picture": picture_column([_picture_of(image[0])])}, name)
            for name, images in kinds_of_shapes(digit_data.built_in(seed).test["ink"]).items()
            for number, image in enumerate(images)
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """As in training; a picture without any ink is no digit, any other error is as wrong as can be."""
        scores = np.array([_score_in(case, answer) for case, answer in zip(cases, answers, strict=True)])
        rows = {name: [row for row, case in enumerate(cases) if case.wanted == name] for name in _names(cases)}
        shown = {
            name: np.array([_page_of(bytes(cases[row].inputs["picture"][0, 0])) for row in some[:_SHOWN]])
            for name, some in rows.items()
        }
        verdicts = [
            Verdict(
                abs(score - _THRESHOLD) if (case.wanted == DIGITS) == (score > _THRESHOLD) else 0.0,
                case.wanted,
                answer if isinstance(answer, str) else f"{'anomaly' if score > _THRESHOLD else 'digit'} ({score:.3f})",
            )
            for case, score, answer in zip(cases, scores.tolist(), answers, strict=True)
        ]
        return _evaluated({name: scores[some] for name, some in rows.items()}, shown, self.name), verdicts


MODELS = (DigitAutoencoder(), AnomalyPostprocess(), DigitAnomaly())


def _errors(module: nn.Module, image: Array) -> Array:
    """[samples]."""
    import torch

    with torch.inference_mode():
        return torch.cat([module(part)[1][:, 0] for part in torch.from_numpy(image).split(_BATCH)]).numpy()


def _evaluated(scores: Mapping[str, Array], shown: Mapping[str, Array], title: str) -> Evaluation:
    """The area under the receiver operating characteristic of digits against each other kind.

    Args:
        scores: [samples] by kind.
        shown: [samples, height, width] of the same kinds, for the picture.
        title: of the picture.

    Raises:
        WrongUse: where there are no digits, or nothing else.
    """
    from sklearn.metrics import roc_auc_score

    from maas_export.pictures.anomalies import anomalies_picture

    others = _require_both_kinds(list(scores))

    def area(low: Array, high: Array) -> float:
        return float(roc_auc_score(np.repeat([0, 1], [len(low), len(high)]), np.concatenate([low, high])))

    digits = scores[DIGITS]
    figures = {f"AUROC {name}": area(digits, scores[name]) for name in others}
    if {LETTERS, PRINTED} <= scores.keys():
        figures["AUROC letters against printed digits"] = area(scores[PRINTED], scores[LETTERS])
    if {LETTERS, LIKE_DIGITS} <= scores.keys():
        figures["AUROC all letters"] = _over_the_alphabet(figures)
    figures["digits above the threshold"] = float(np.mean(digits > _THRESHOLD))
    for name in others:
        figures[f"{name} above the threshold"] = float(np.mean(scores[name] > _THRESHOLD))
    measure = _MEASURE if _MEASURE in figures else f"AUROC {others[0]}"
    return Evaluation(
        measure=measure,
        figures=figures,
        samples=sum(len(values) for values in scores.values()),
        picture=anomalies_picture(scores, shown, _THRESHOLD, f"{title}: {measure} {figures[measure]:.3f}"),
    )


def _require_both_kinds(kinds: Sequence[str]) -> list[str]:
    """The kinds beside digits."""
    others = [kind for kind in kinds if kind != DIGITS]
    if len(others) == len(kinds) or not others:
        raise WrongUse(
            f"the data holds {'only digits' if not others else 'no digits'}", "give digits and something else"
        )
    return others


def _over_the_alphabet(figures: Mapping[str, float]) -> float:
    """The area of digits against all letters, each as often as the others.

    The area is a mean over the letters, so that of both groups together is the mean of theirs, by their sizes.
    """
    from maas_export.data.other_shapes import LETTERS as UNLIKE
    from maas_export.data.other_shapes import LETTERS_LIKE_DIGITS as LIKE

    total = len(UNLIKE) * figures[f"AUROC {LETTERS}"] + len(LIKE) * figures[f"AUROC {LIKE_DIGITS}"]
    return total / (len(UNLIKE) + len(LIKE))


def _kind_of(label: str) -> str:
    return DIGITS if label in {"digit", *"0123456789"} else label


def _names(cases: Sequence[Case]) -> list[str]:
    """The kinds in the order in which they come."""
    return list(dict.fromkeys(case.wanted for case in cases))


def _score_in(case: Case, answer: Answer) -> float:
    if not isinstance(answer, str):
        return float(answer["score"].reshape(-1)[0])
    return 1.0 if _REFUSAL in answer or case.wanted == DIGITS else 0.0


def _picture_of(ink: Array) -> bytes:
    """Dark on light, with a margin."""
    page = np.pad(ink, 6)
    return png_bytes(
        Image.fromarray((235 - 210 * page).round().astype(np.uint8)).resize((160, 160), Image.Resampling.BICUBIC)
    )


def _page_of(data: bytes) -> Array:
    """[28, 28]: what is sent, small, for the eye."""
    page = Image.fromarray(page_of(data)).resize((_SIZE, _SIZE), Image.Resampling.BILINEAR)
    return np.asarray(page)
