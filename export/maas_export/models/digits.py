"""Handwritten digits: a small convolutional network, and the steps that turn a picture into its input and its output
into a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec
from maas_export.catalogue import Card, EnsembleModel, PythonModel, Reference
from maas_export.classifier import Classifier
from maas_export.data import digits as digit_data
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.picture_inputs import (
    PICTURE,
    PICTURE_ERROR,
    labelled_pictures,
    picture_column,
    png_bytes,
    with_a_bad_one,
)
from maas_export.python_models import load_module
from maas_export.recipe import Recipe
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.served_labels import judge_labels
from maas_export.serving_choice import serving_for
from maas_export.steps import FP32_TOLERANCE, RankLabels, text_column

if TYPE_CHECKING:
    from torch import nn

_SIZE = 28
_CLASSES = tuple(str(digit) for digit in range(10))
_MAX_BATCH = 32

_IMAGE = TensorSpec("image", "FP32", (1, _SIZE, _SIZE), "ink of the centred digit, 0 (ground) to 1 (ink)")
_LOGITS = TensorSpec("logits", "FP32", (10,), "unnormalised log-probability of each digit", labels=_CLASSES)
_RANKING = RankLabels("digits_postprocess", _LOGITS, PICTURE_ERROR, what="digits")


class DigitsCnn(Classifier):
    """The network by itself: 28×28 ink in, logits out."""

    spec = ModelSpec(
        name="digits_cnn",
        task="image classification",
        summary="reads one handwritten digit from 28×28 ink",
        backend="onnxruntime",
        inputs=(_IMAGE,),
        outputs=(_LOGITS,),
        serving=serving_for("digits_cnn", default=Serving(max_batch_size=_MAX_BATCH, instances=2, intra_op_threads=1)),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
        refuses_nonfinite=True,
    )
    card = Card(
        architecture="two convolutions with pooling, two linear layers",
        data="scikit-learn's 1,797 handwritten digits of 43 writers (8×8), turned, slanted, bent, thickened at random",
        licence="data: UCI Optical Recognition of Handwritten Digits, CC BY 4.0",
        intended_use="one handwritten digit, already centred as `digits_preprocess` does it",
        limits="it knows the shapes of 43 writers; anything that is no digit gets one all the same",
    )
    example = MappingProxyType({"image": Path("examples/digits_cnn/image.json")})
    borrows = ("digits_preprocess",)
    recipe = Recipe(epochs=24, batch_size=64, learning_rate=0.05, momentum=0.9, weight_decay=1e-4)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.digits import DigitsNet

        return DigitsNet()

    def load_data(self, path: Path | None, seed: int) -> Split:
        """scikit-learn's digits, or the user's (see :mod:`maas_export.data.digits`)."""
        return digit_data.built_in(seed) if path is None else digit_data.from_path(path, seed)

    def features(self, columns: Tensors) -> Tensors:
        """The ink at the network's size."""
        from maas_export.data.digit_writers import prepared

        return {"image": prepared(columns["ink"])}

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """Other writers of the same digits."""
        from maas_export.data.digit_writers import augmented

        return {"image": augmented(train["ink"], rng), "label": train["label"]}

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Real digits and, every fourth, plain noise: a network can be right on the one and wrong on the other."""
        digits = digit_data.built_in_digits()["ink"]
        image = np.array(self.features({"ink": digits[rng.integers(len(digits), size=size)]})["image"])
        noise = np.arange(size) % 4 == 3
        image[noise] = rng.random((int(noise.sum()), 1, _SIZE, _SIZE), dtype=np.float32)
        return {"image": image}


class DigitsPreprocess(PythonModel):
    """Picture -> ink of the centred digit."""

    spec = ModelSpec(
        name="digits_preprocess",
        task="preprocessing",
        summary="finds the digit in a picture and centres its ink in 28×28",
        backend="python",
        inputs=(PICTURE,),
        outputs=(_IMAGE, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"max_pixels": "25000000"}),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=50.0),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Pictures of real digits, of several sizes, dark on light or light on dark; of three or more, one is none."""
        return {"picture": _pictures(rng, size)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder, picture by picture."""
        image, errors = load_module("digits_preprocess", "picture").read_digits(inputs["picture"].reshape(-1))
        return {"image": image, "error": text_column(errors)}


class Digits(EnsembleModel, Judged):
    """Picture -> label: what an application calls."""

    card = Card(
        architecture="picture -> ink, centred -> `digits_cnn` -> the three likeliest labels",
        data="see `digits_cnn`",
        licence="see `digits_cnn`",
        intended_use="one handwritten digit on a plain ground, dark on light or light on dark, any size",
        limits="one digit to a picture; of 40 pictures drawn for the tests it reads 39 (`tests/pictures/`)",
    )
    example = MappingProxyType({"picture": Path("examples/digits/3_thick_marker.png")})

    spec = ModelSpec(
        name="digits",
        task="image classification",
        summary="reads one handwritten digit from a picture",
        backend="ensemble",
        inputs=(PICTURE,),
        outputs=(*_RANKING.spec.outputs, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=100.0),
        steps=(
            Step("digits_preprocess", {"picture": "picture"}, {"image": "image", "error": "error"}),
            Step("digits_cnn", {"image": "image"}, {"logits": "logits"}),
            Step("digits_postprocess", {"logits": "logits", "error": "error"}, {"label": "label", "score": "score"}),
        ),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :meth:`DigitsPreprocess.sample_inputs`."""
        return {"picture": _pictures(rng, size)}

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Labelled pictures, digits as `digits_cnn` trains on them (their held-out part), or the built-in ones.

        Digits that are no pictures yet are drawn dark on light, 200 pixels high.
        """
        if path is not None and path.is_dir() and not any(path.glob("*-ubyte*")):
            return [
                Case(str(file.relative_to(path)), {"picture": picture_column([file.read_bytes()])}, label)
                for file, label in labelled_pictures(path, _CLASSES)
            ]
        test = DigitsCnn().load_data(path, seed).test
        return [
            Case(f"digit {row}", {"picture": picture_column([_drawn(ink, 200, is_dark=True)])}, _CLASSES[label])
            for row, (ink, label) in enumerate(zip(test["ink"], test["label"], strict=True))
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Accuracy, F1 and confusion of the likeliest digit."""
        return judge_labels(cases, answers, _CLASSES, self.name)


MODELS = (DigitsCnn(), DigitsPreprocess(), _RANKING, Digits())


def _pictures(rng: np.random.Generator, count: int) -> Array:
    digits = digit_data.built_in_digits()["ink"]
    chosen = digits[rng.integers(len(digits), size=count)]
    return with_a_bad_one([_drawn(ink, int(rng.integers(40, 400)), is_dark=bool(rng.random() < 0.5)) for ink in chosen])


def _drawn(ink: Array, size: int, *, is_dark: bool) -> bytes:
    """Ink as a PNG of so many pixels, dark on light or light on dark, with a margin."""
    page = Image.fromarray((ink * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    page = ImageOps.expand(page, border=size // 5, fill=0)
    return png_bytes(ImageOps.invert(page) if is_dark else page)
