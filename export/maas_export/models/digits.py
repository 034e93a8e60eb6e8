"""Handwritten digits: a small convolutional network, and the steps that turn a picture into its input and its output
into a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional

from maas_core.config import LABELS_FILE, labels_text
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec, Tolerance
from maas_export.catalogue import EnsembleModel, PythonModel, Reference, TorchModel
from maas_export.data import digits as digit_data
from maas_export.data.split import Split
from maas_export.python_models import load_module
from maas_export.serving_choice import serving_for
from maas_export.training import Recipe

_SIZE = 28
_CLASSES = tuple(str(digit) for digit in range(10))
_MAX_BATCH = 32
_TOP_K = 3
_FP32 = {"FP32": Tolerance(absolute=2e-5, relative=2e-5)}

_IMAGE = TensorSpec("image", "FP32", (1, _SIZE, _SIZE), "ink of the centred digit, 0 (ground) to 1 (ink)")
_LOGITS = TensorSpec("logits", "FP32", (10,), "unnormalised log-probability of each digit", labels=_CLASSES)
_LOGITS_IN = replace(_LOGITS, labels=())
_PICTURE = TensorSpec("picture", "BYTES", (1,), "the bytes of a PNG or JPEG file, any size and mode")
_ERROR = TensorSpec("error", "BYTES", (1,), "why the picture could not be read; empty where it could")
_LABEL = TensorSpec("label", "BYTES", (_TOP_K,), "the likeliest digits, best first")
_SCORE = TensorSpec("score", "FP32", (_TOP_K,), "their probabilities, 0 to 1")


class DigitsNet(nn.Module):
    """Two convolutions with pooling, then two linear layers.

    ``image`` is [batch, 1, 28, 28]; each pooling halves 28 to 14 to 7, so 64·7·7 values reach the first linear layer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(64 * 7 * 7, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, image: Tensor) -> Tensor:
        """[batch, 1, 28, 28] -> logits [batch, 10]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(image)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        hidden = functional.relu(self.fc1(hidden.flatten(1)))
        logits: Tensor = self.fc2(hidden)
        return logits


class DigitsCnn(TorchModel):
    """The network by itself: 28×28 ink in, logits out."""

    spec = ModelSpec(
        name="digits_cnn",
        task="image classification",
        summary="reads one handwritten digit from 28×28 ink",
        backend="onnxruntime",
        inputs=(_IMAGE,),
        outputs=(_LOGITS,),
        serving=serving_for("digits_cnn", default=Serving(max_batch_size=_MAX_BATCH, instances=2, intra_op_threads=1)),
        tolerances=_FP32,
        objective=Objective(p99_ms=20.0),
        refuses_nonfinite=True,
    )
    borrows = ("digits_preprocess",)
    recipe = Recipe(epochs=24, batch_size=64, learning_rate=0.05, momentum=0.9, weight_decay=1e-4)

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        return DigitsNet()

    def load_data(self, path: Path | None, seed: int) -> Split:
        """scikit-learn's digits, or the user's (see :mod:`maas_export.data.digits`)."""
        return digit_data.built_in(seed) if path is None else digit_data.from_path(path, seed)

    def prepare(self, inputs: Array) -> Array:
        """Ink of any size [samples, height, width] as the network takes it [samples, 1, 28, 28]."""
        return _normalised(
            _sharpened(_enlarged(inputs), torch.full((len(inputs),), 0.5), torch.full((len(inputs),), 12.0))
        )

    def augment(self, inputs: Array, rng: np.random.Generator) -> Array:
        """Other writers of the same digits: turned, slanted, narrowed, bent, thin or thick, sharp or soft."""
        enlarged = _enlarged(inputs)
        count = len(inputs)
        bent = functional.grid_sample(enlarged, _random_grid(count, enlarged.shape[-1], rng), align_corners=False)
        level = torch.from_numpy(rng.uniform(0.25, 0.75, count).astype(np.float32))
        slope = torch.from_numpy(rng.uniform(6.0, 20.0, count).astype(np.float32))
        return _normalised(_sharpened(bent, level, slope))

    def sample_inputs(self, rng: np.random.Generator, batch_size: int) -> Tensors:
        """Real digits and, every fourth, plain noise: a network can be right on the one and wrong on the other."""
        digits = digit_data.built_in(seed=0).test_inputs
        image = self.prepare(digits[rng.integers(len(digits), size=batch_size)])
        noise = np.arange(batch_size) % 4 == 3
        image[noise] = rng.random((int(noise.sum()), 1, _SIZE, _SIZE), dtype=np.float32)
        return {"image": image}


class DigitsPreprocess(PythonModel):
    """Picture -> ink of the centred digit."""

    spec = ModelSpec(
        name="digits_preprocess",
        task="preprocessing",
        summary="finds the digit in a picture and centres its ink in 28×28",
        backend="python",
        inputs=(_PICTURE,),
        outputs=(_IMAGE, _ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"max_pixels": "25000000"}),
        tolerances=_FP32,
        objective=Objective(p99_ms=50.0),
    )

    def sample_inputs(self, rng: np.random.Generator, batch_size: int) -> Tensors:
        """Pictures of real digits, of several sizes, dark on light or light on dark; of three or more, one is none."""
        return {"picture": _pictures(rng, batch_size)}

    def reference(self, inputs: Tensors) -> Tensors:
        """The pure function of the model's own folder, picture by picture."""
        image, errors = load_module("digits_preprocess", "picture").read_digits(inputs["picture"].reshape(-1))
        return {"image": image, "error": _bytes_column(errors)}


class DigitsPostprocess(PythonModel):
    """Logits -> the likeliest digits with their probabilities."""

    spec = ModelSpec(
        name="digits_postprocess",
        task="postprocessing",
        summary="turns logits into the three likeliest labels",
        backend="python",
        inputs=(_LOGITS_IN, _ERROR),
        outputs=(_LABEL, _SCORE),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"top_k": str(_TOP_K)}),
        tolerances=_FP32,
        objective=Objective(p99_ms=20.0),
    )

    @property
    def assets(self) -> Mapping[str, str]:
        """The names of the classes, which the model reads when it starts."""
        return {LABELS_FILE: labels_text(_CLASSES)}

    def sample_inputs(self, rng: np.random.Generator, batch_size: int) -> Tensors:
        """Random logits; from three on, one row carries an error."""
        logits = rng.normal(0.0, 4.0, (batch_size, len(_CLASSES))).astype(np.float32)
        errors = ["cannot be read" if batch_size > 2 and row == 1 else "" for row in range(batch_size)]
        return {"logits": logits, "error": _bytes_column(errors)}

    def reference(self, inputs: Tensors) -> Tensors:
        """The pure function of the model's own folder."""
        rank = load_module("digits_postprocess", "ranking").rank
        errors = [bytes(error).decode() for error in inputs["error"].reshape(-1)]
        labels, scores = rank(inputs["logits"], errors, _CLASSES, _TOP_K)
        return {"label": labels, "score": scores}


class Digits(EnsembleModel):
    """Picture -> label: what an application calls."""

    spec = ModelSpec(
        name="digits",
        task="image classification",
        summary="reads one handwritten digit from a picture",
        backend="ensemble",
        inputs=(_PICTURE,),
        outputs=(_LABEL, _SCORE, _ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=_FP32,
        objective=Objective(p99_ms=100.0),
        steps=(
            Step("digits_preprocess", {"picture": "picture"}, {"image": "image", "error": "error"}),
            Step("digits_cnn", {"image": "image"}, {"logits": "logits"}),
            Step("digits_postprocess", {"logits": "logits", "error": "error"}, {"label": "label", "score": "score"}),
        ),
    )

    def sample_inputs(self, rng: np.random.Generator, batch_size: int) -> Tensors:
        """See :meth:`DigitsPreprocess.sample_inputs`."""
        return {"picture": _pictures(rng, batch_size)}

    def reference(self, steps: Mapping[str, Reference], inputs: Tensors) -> Tensors:
        """The three references, one after the other."""
        read = steps["digits_preprocess"](inputs)
        logits = steps["digits_cnn"]({"image": read["image"]})["logits"]
        ranked = steps["digits_postprocess"]({"logits": logits, "error": read["error"]})
        return {"label": ranked["label"], "score": ranked["score"], "error": read["error"]}


MODELS = (DigitsCnn(), DigitsPreprocess(), DigitsPostprocess(), Digits())


def _pictures(rng: np.random.Generator, count: int) -> Array:
    digits = digit_data.built_in(seed=0).test_inputs
    chosen = digits[rng.integers(len(digits), size=count)]
    pictures = np.empty((count, 1), dtype=np.object_)
    for row, ink in enumerate(chosen):
        pictures[row, 0] = b"no picture" if count > 2 and row == 1 else _picture_of(ink, rng)
    return pictures


def _picture_of(ink: Array, rng: np.random.Generator) -> bytes:
    """Ink as a PNG of 40 to 400 pixels, dark on light or light on dark, with a margin."""
    size = int(rng.integers(40, 400))
    page = Image.fromarray((ink * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    page = ImageOps.expand(page, border=size // 5, fill=0)
    buffer = BytesIO()
    (ImageOps.invert(page) if rng.random() < 0.5 else page).save(buffer, format="PNG")
    return buffer.getvalue()


def _bytes_column(texts: Iterable[str]) -> Array:
    """[batch, 1] of BYTES."""
    return np.array([[text.encode()] for text in texts], dtype=np.object_)


def _enlarged(inputs: Array) -> Tensor:
    """Ink [samples, height, width] on a ground twice its size, [samples, 1, 96, 96]."""
    ink = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))[:, None]
    large = functional.interpolate(ink, size=(56, 56), mode="bicubic", align_corners=False).clamp(0, 1)
    return functional.pad(large, (20, 20, 20, 20))


def _sharpened(ink: Tensor, level: Tensor, slope: Tensor) -> Tensor:
    """Turns the blur of enlarging into an edge: ``level`` sets how thick strokes become, ``slope`` how sharp."""
    return torch.sigmoid((ink - level[:, None, None, None]) * slope[:, None, None, None])


def _random_grid(count: int, size: int, rng: np.random.Generator) -> Tensor:
    """Sampling positions [count, size, size, 2]: a random affine map and a smooth random bending."""
    angle = rng.uniform(-0.26, 0.26, count)
    slant = rng.uniform(-0.45, 0.45, count)
    width, height = rng.uniform(0.75, 1.35, count), rng.uniform(0.9, 1.15, count)
    cosine, sine = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    shear = np.stack([np.stack([width, slant], -1), np.stack([np.zeros(count), height], -1)], -2)
    affine = np.concatenate([rotation @ shear, np.zeros((count, 2, 1))], -1).astype(np.float32)
    grid = functional.affine_grid(torch.from_numpy(affine), [count, 1, size, size], align_corners=False)
    coarse = torch.from_numpy(rng.normal(0.0, 0.05, (count, 2, 5, 5)).astype(np.float32))
    bending = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    return grid + bending.permute(0, 2, 3, 1)


def _normalised(ink: Tensor) -> Array:
    """The very normalisation that the server applies to a picture's ink."""
    normalise = load_module("digits_preprocess", "picture").normalise_ink
    return np.asarray([[normalise(page)] for page in ink[:, 0].numpy()], dtype=np.float32)
