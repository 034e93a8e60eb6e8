"""Small colour pictures: a convolutional network in the form of LeNet-5, and the steps round it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec
from maas_export.catalogue import Card, EnsembleModel, PythonModel, Reference
from maas_export.classifier import Classifier
from maas_export.data import cifar, photos
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation, classification
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

_SIZE = photos.SIZE
_CLASSES = tuple(photos.PHOTOGRAPHS)
_MAX_BATCH = 32
_BINS = 8

_IMAGE = TensorSpec("image", "FP32", (3, _SIZE, _SIZE), "red, green and blue, -1 (none) to 1 (full)")
_LOGITS = TensorSpec("logits", "FP32", (10,), "unnormalised log-probability of each class", labels=_CLASSES)
_RANKING = RankLabels("photo_postprocess", _LOGITS, PICTURE_ERROR, what="classes", network="photo_cnn")


class PhotoCnn(Classifier):
    """The network by itself: 32×32 colours in, logits out."""

    spec = ModelSpec(
        name="photo_cnn",
        task="image classification",
        summary="tells which of ten photographs a 32×32 patch is from, or the ten classes of CIFAR-10",
        backend="onnxruntime",
        inputs=(_IMAGE,),
        outputs=(_LOGITS,),
        serving=serving_for("photo_cnn", default=Serving(max_batch_size=_MAX_BATCH, instances=2)),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=20.0),
        refuses_nonfinite=True,
    )
    card = Card(
        architecture="convolution 3→6 (5×5), pooling, convolution 6→16 (5×5), pooling, linear 400→120→84→10 "
        "(the form of LeNet-5)",
        data="built in: 32×32 patches of ten photographs of scikit-image, six of them grey; held-out patches are from "
        "regions of the photographs that training never sees. With --data: CIFAR-10, whose own class names it takes",
        licence="photographs: public domain, CC0 or without known restrictions (scikit-image names each source)",
        intended_use="the smallest honest example of colour pictures: where a real task is meant, train it on "
        "CIFAR-10 or on data of your own",
        limits="the built-in classes are ten photographs, not ten kinds of thing: it has never seen another cat",
    )
    example = MappingProxyType({"image": Path("examples/photo_cnn/image.json")})
    borrows = ("photo_preprocess",)
    recipe = Recipe(epochs=26, batch_size=128, learning_rate=2e-3, weight_decay=1e-3, optimizer="adamw")

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.photo import PhotoNet

        return PhotoNet()

    def load_data(self, path: Path | None, seed: int) -> Split:
        """Patches of photographs, or CIFAR-10 (see :mod:`maas_export.data.cifar`)."""
        return photos.built_in(seed) if path is None else cifar.from_path(path)

    def features(self, columns: Tensors) -> Tensors:
        """The colours as the network takes them."""
        return {"image": load_module("photo_preprocess", "photo").scaled(columns["image"])}

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """Mirrored, and in slightly other light; what has no upright (the built-in patches) also turned."""
        image = np.array(self.features(train)["image"])
        count = len(image)
        _flip(image, rng, axis=3)
        if tuple(train["name"][np.unique(train["label"], return_index=True)[1]]) == _CLASSES:
            _flip(image, rng, axis=2)
            turned = rng.random(count) < 0.5
            image[turned] = image[turned].transpose(0, 1, 3, 2)
        contrast = rng.uniform(0.9, 1.1, (count, 1, 1, 1)).astype(np.float32)
        light = rng.normal(0, 0.05, (count, 3, 1, 1)).astype(np.float32)
        return {"image": np.clip(image * contrast + light, -1, 1), "label": train["label"]}

    def baseline(self, split: Split) -> Mapping[str, float]:
        """Logistic regression on the colour histogram: 8×8×8 bins of red, green and blue.

        Square roots of the shares and this C make it as strong as it gets on the built-in data.
        """
        from sklearn.linear_model import LogisticRegression

        regression = LogisticRegression(C=100, max_iter=400)
        regression.fit(_histograms(split.train["image"]), split.train["label"])
        right = regression.predict(_histograms(split.test["image"])) == split.test["label"]
        return {"colour histogram + logistic regression": float(np.mean(right))}

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """Accuracy, F1 and confusion on the held-out part, by the data's own names of the classes."""
        got = self.predict_classes(module, self.features(split.test))
        return classification(split.test["label"], got, split.classes, self.name, self.baseline(split))

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Held-out patches and, every fourth, plain noise."""
        image = np.array(self.features({"image": _sample_patches(rng, size)})["image"])
        noise = np.arange(size) % 4 == 3
        image[noise] = rng.uniform(-1, 1, (int(noise.sum()), 3, _SIZE, _SIZE))
        return {"image": image}


class PhotoPreprocess(PythonModel):
    """Picture -> its middle at the network's size."""

    spec = ModelSpec(
        name="photo_preprocess",
        task="preprocessing",
        summary="scales the middle of a picture to 32×32 colours",
        backend="python",
        inputs=(PICTURE,),
        outputs=(_IMAGE, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"max_pixels": "25000000"}),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=50.0),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Patches as pictures of several sizes, some grey, some with transparency; of three or more, one is none."""
        return {"picture": _sample_pictures(rng, size)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder, picture by picture."""
        image, errors = load_module("photo_preprocess", "photo").read_photos(inputs["picture"].reshape(-1))
        return {"image": image, "error": text_column(errors)}


class Photo(EnsembleModel, Judged):
    """Picture -> class: what an application calls."""

    spec = ModelSpec(
        name="photo",
        task="image classification",
        summary="tells which of ten photographs a picture is a piece of, or the ten classes of CIFAR-10",
        backend="ensemble",
        inputs=(PICTURE,),
        outputs=(*_RANKING.spec.outputs, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=FP32_TOLERANCE,
        objective=Objective(p99_ms=100.0),
        steps=(
            Step("photo_preprocess", {"picture": "picture"}, {"image": "image", "error": "error"}),
            Step("photo_cnn", {"image": "image"}, {"logits": "logits"}),
            Step("photo_postprocess", {"logits": "logits", "error": "error"}, {"label": "label", "score": "score"}),
        ),
    )
    card = Card(
        architecture="picture -> its middle at 32×32 -> `photo_cnn` -> the three likeliest classes",
        data="see `photo_cnn`",
        licence="see `photo_cnn`",
        intended_use="see `photo_cnn`; pictures of any size and mode, of which it looks at the largest square in the "
        "middle",
        limits="see `photo_cnn`; a patch of 32 to 48 pixels of the photograph is what it knows, not the whole of it",
    )
    example = MappingProxyType({"picture": Path("examples/photo/cat_eye.png")})

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :meth:`PhotoPreprocess.sample_inputs`."""
        return {"picture": _sample_pictures(rng, size)}

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Labelled pictures, CIFAR-10 (its held-out part), or the held-out patches as PNG."""
        if path is not None and path.is_dir() and not any(path.rglob("test_batch*")):
            return [
                Case(str(file.relative_to(path)), {"picture": picture_column([file.read_bytes()])}, label)
                for file, label in labelled_pictures(path, _RANKING.labels)
            ]
        test = PhotoCnn().load_data(path, seed).test
        return [
            Case(f"{name} {row}", {"picture": picture_column([png_bytes(image.transpose(1, 2, 0))])}, str(name))
            for row, (image, name) in enumerate(zip(test["image"], test["name"], strict=True))
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Accuracy, F1 and confusion of the likeliest class."""
        return judge_labels(cases, answers, _RANKING.labels, self.name)


MODELS = (PhotoCnn(), PhotoPreprocess(), _RANKING, Photo())


def _flip(image: Array, rng: np.random.Generator, axis: int) -> None:
    """Mirrors about half of the pictures, in place."""
    chosen = rng.random(len(image)) < 0.5
    image[chosen] = np.flip(image[chosen], axis)


def _histograms(image: Array) -> Array:
    """[samples, 512]: the square root of the share of pixels in each bin."""
    bins = (image >> 5).astype(np.int64).reshape(len(image), 3, -1)
    number = (bins[:, 0] * _BINS + bins[:, 1]) * _BINS + bins[:, 2]
    offset = number + np.arange(len(image))[:, None] * _BINS**3
    counts = np.bincount(offset.ravel(), minlength=len(image) * _BINS**3)
    return np.asarray(np.sqrt(counts.reshape(len(image), _BINS**3) / (_SIZE * _SIZE)))


@cache
def _held_out_patches() -> Array:
    """[samples, 3, 32, 32]: cut out once, because that takes a second and every sample asks for them."""
    return photos.built_in(seed=0).test["image"]


def _sample_patches(rng: np.random.Generator, count: int) -> Array:
    test = _held_out_patches()
    return np.asarray(test[rng.integers(len(test), size=count)])


def _sample_pictures(rng: np.random.Generator, count: int) -> Array:
    return with_a_bad_one([_picture_of(patch, rng) for patch in _sample_patches(rng, count)])


def _picture_of(patch: Array, rng: np.random.Generator) -> bytes:
    width, height = (int(side) for side in rng.integers(20, 200, 2))
    picture = Image.fromarray(patch.transpose(1, 2, 0)).resize((width, height))
    mode = ("RGB", "L", "RGBA", "P")[int(rng.integers(4))]
    if mode == "RGBA":
        picture.putalpha(int(rng.integers(256)))
    return png_bytes(picture if mode == "RGBA" else picture.convert(mode))
