"""Several handwritten digits in one picture: a single-shot detector, and the steps that map its boxes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from maas_core.config import LABELS_FILE, labels_text
from maas_core.golden import Array, Tensors
from maas_core.spec import ModelSpec, Objective, Serving, Step, TensorSpec, Tolerance
from maas_export.average_precision import Found, average_precisions
from maas_export.catalogue import Card, EnsembleModel, PythonModel, Reference, TorchModel
from maas_export.data import digits as digit_data
from maas_export.data import scenes as scene_data
from maas_export.data.split import Split
from maas_export.evaluation import Evaluation
from maas_export.picture_inputs import PICTURE, PICTURE_ERROR, picture_column, png_bytes, with_a_bad_one
from maas_export.pictures.scenes import right_boxes, scenes_picture
from maas_export.python_models import load_module
from maas_export.recipe import Recipe
from maas_export.served_evaluation import Answer, Case, Judged, Verdict
from maas_export.serving_choice import serving_for
from maas_export.steps import text_column, texts_of

if TYPE_CHECKING:
    import torch
    from torch import nn

_SIZE = scene_data.SIZE
_BOXES = 16
_CLASSES = tuple(str(digit) for digit in range(10))
_MAX_BATCH = 16
_SCENES_PER_EPOCH = 1500
_TEST_SCENES = 400
_BATCH = 64
_LEAST_SCORE = 0.4
_MEASURE = "mAP@0.5"
_PIXELS = {"FP32": Tolerance(absolute=2e-3, relative=1e-4)}
"""Boxes are pixels, up to thousands of them."""

_IMAGE = TensorSpec("image", "FP32", (1, _SIZE, _SIZE), "ink of a scene, 0 (ground) to 1 (ink)")
_SQUARE_BOXES = TensorSpec("boxes", "FP32", (_BOXES, 4), "left, top, right, bottom in pixels of the 96×96 scene")
_SCORE = TensorSpec("score", "FP32", (_BOXES,), "probability that it is a digit and this one, 0 to 1; 0: no box")
_INDEX = TensorSpec("class_index", "INT32", (_BOXES,), "which digit, 0 to 9")
_FRAME = TensorSpec(
    "frame", "FP32", (5,), "left and top of the picture in the scene, pixels to a pixel, its width and height"
)
_BOXES_OUT = TensorSpec(
    "boxes", "FP32", (_BOXES, 4), "left, top, right, bottom in pixels of the upright picture, `count` of them"
)
_LABEL = TensorSpec("label", "BYTES", (_BOXES,), "the digit in each box; empty behind the last")
_SCORE_OUT = TensorSpec("score", "FP32", (_BOXES,), "probability of each box and its digit, 0 to 1")
_COUNT = TensorSpec("count", "INT32", (1,), "how many boxes there are")


class DigitDetector(TorchModel):
    """The network by itself: a scene of 96×96 in, boxes out."""

    spec = ModelSpec(
        name="digit_detector",
        task="object detection",
        summary="finds up to 16 handwritten digits in 96×96 ink",
        backend="onnxruntime",
        inputs=(_IMAGE,),
        outputs=(_SQUARE_BOXES, _SCORE, _INDEX),
        serving=serving_for("digit_detector", default=Serving(max_batch_size=_MAX_BATCH, instances=2)),
        tolerances=_PIXELS,
        objective=Objective(p99_ms=50.0),
        refuses_nonfinite=True,
    )
    card = Card(
        architecture="five convolutions to a grid of 12×12 cells, one box and ten classes for each; "
        "non-maximum suppression inside the graph",
        data="scenes of one to six of scikit-learn's handwritten digits, 16 to 48 pixels high, some overlapping; "
        "composed anew in every epoch, held-out scenes of held-out digits",
        licence="data: UCI Optical Recognition of Handwritten Digits, CC BY 4.0",
        intended_use="scenes already turned into ink as `scene_preprocess` does it",
        limits="digits lower than 16 or higher than 48 of the scene's 96 pixels were never seen in training; "
        "at most 16 boxes, and of two that overlap by more than half only one",
    )
    example = MappingProxyType({"image": Path("examples/digit_detector/image.json")})
    recipe = Recipe(
        epochs=20, batch_size=32, learning_rate=3e-3, weight_decay=1e-3, optimizer="adamw", warmup_share=0.1
    )

    def build(self) -> nn.Module:
        """The network with fresh weights."""
        from maas_export.networks.detector import DetectorNet

        return DetectorNet()

    def exported(self, module: nn.Module) -> nn.Module:
        """The network and the suppression of boxes behind it."""
        from maas_export.networks.detector import Detector

        return Detector(module)

    def load_data(self, path: Path | None, seed: int) -> Split:
        """Digits to compose scenes of (scikit-learn's, or the user's as for `digits_cnn`), and held-out scenes."""
        digits = digit_data.built_in(seed) if path is None else digit_data.from_path(path, seed)
        return Split(digits.train, _plain_scenes(digits.test, seed), f"scenes of digits: {digits.source}")

    def epoch_data(self, train: Tensors, rng: np.random.Generator) -> Tensors:
        """Fresh scenes of other writers' digits; where there are fewer digits, fewer scenes."""
        from maas_export.data.digit_writers import rewritten

        count = min(_SCENES_PER_EPOCH, 2 * len(train["label"]))
        return scene_data.composed(train, count, lambda ink: rewritten(ink, rng)[:, 0].numpy(), rng)

    def loss(self, module: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """See :func:`maas_export.networks.detector.detection_loss`."""
        from maas_export.networks.detector import detection_loss

        return detection_loss(module(batch["image"]), batch["boxes"], batch["label"])

    def evaluate(self, module: nn.Module, split: Split) -> Evaluation:
        """Mean average precision on the held-out scenes."""
        import torch

        served = self.exported(module)
        with torch.inference_mode():
            parts = [served(part) for part in torch.from_numpy(split.test["image"]).split(_BATCH)]
        boxes, scores, labels = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        got = [
            Found(boxes[row, some], np.array(_CLASSES)[labels[row, some]], scores[row, some])
            for row, some in enumerate(scores > 0)
        ]
        return detection(list(split.test["image"][:, 0]), _wanted(split.test), got, self.name)

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Held-out scenes."""
        return {"image": _sample_scenes(rng, size)["image"]}


class ScenePreprocess(PythonModel):
    """Picture -> ink in a square."""

    spec = ModelSpec(
        name="scene_preprocess",
        task="preprocessing",
        summary="finds the ink in a picture and fits it into 96×96",
        backend="python",
        inputs=(PICTURE,),
        outputs=(_IMAGE, _FRAME, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"max_pixels": "25000000"}),
        tolerances=_PIXELS,
        objective=Objective(p99_ms=50.0),
    )

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Pictures of scenes, of any width and height; of three or more, one is none."""
        return {"picture": _sample_pictures(rng, size)}

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder, picture by picture."""
        image, frame, errors = load_module("scene_preprocess", "scene").read_scenes(inputs["picture"].reshape(-1))
        return {"image": image, "frame": frame, "error": text_column(errors)}


class ScenePostprocess(PythonModel):
    """Boxes in the square -> boxes in the picture."""

    spec = ModelSpec(
        name="scene_postprocess",
        task="postprocessing",
        summary="keeps the likely boxes and maps them to the given picture",
        backend="python",
        inputs=(_SQUARE_BOXES, _SCORE, _INDEX, _FRAME, PICTURE_ERROR),
        outputs=(_BOXES_OUT, _LABEL, _SCORE_OUT, _COUNT),
        serving=Serving(max_batch_size=_MAX_BATCH, parameters={"least_score": str(_LEAST_SCORE)}),
        tolerances=_PIXELS,
        objective=Objective(p99_ms=20.0),
    )

    @property
    def assets(self) -> Mapping[str, str | bytes]:
        """The names of the classes, which the model reads when it starts."""
        return {LABELS_FILE: labels_text(_CLASSES)}

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """Random boxes in pictures of random width; from three on, one row carries an error."""
        corner = rng.uniform(0, _SIZE - 20, (size, _BOXES, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(4, 20, (size, _BOXES, 2))], -1)
        width = rng.integers(_SIZE, 5 * _SIZE, size).astype(np.float32)
        frame = np.stack([np.zeros(size), np.full(size, 24.0), width / _SIZE, width, width / 2], -1)
        errors = ["cannot be read" if size > 2 and row == 1 else "" for row in range(size)]
        return {
            "boxes": boxes.astype(np.float32),
            "score": rng.random((size, _BOXES), dtype=np.float32),
            "class_index": rng.integers(10, size=(size, _BOXES)).astype(np.int32),
            "frame": frame.astype(np.float32),
            "error": text_column(errors),
        }

    def reference(self, inputs: Tensors, calls: Mapping[str, Reference]) -> Tensors:
        """The pure function of the model's own folder."""
        found = load_module("scene_postprocess", "boxes").in_pictures(
            *(inputs[name] for name in ("boxes", "score", "class_index", "frame")),
            texts_of(inputs["error"]),
            _CLASSES,
            _LEAST_SCORE,
        )
        return dict(zip(("boxes", "label", "score", "count"), found, strict=True))


class DigitScene(EnsembleModel, Judged):
    """Picture -> the digits in it: what an application calls."""

    spec = ModelSpec(
        name="digit_scene",
        task="object detection",
        summary="finds the handwritten digits in a picture and where they are",
        backend="ensemble",
        inputs=(PICTURE,),
        outputs=(_BOXES_OUT, _LABEL, _SCORE_OUT, _COUNT, PICTURE_ERROR),
        serving=Serving(max_batch_size=_MAX_BATCH),
        tolerances=_PIXELS,
        objective=Objective(p99_ms=150.0),
        steps=(
            Step("scene_preprocess", {"picture": "picture"}, {"image": "image", "frame": "frame", "error": "error"}),
            Step(
                "digit_detector",
                {"image": "image"},
                {"boxes": "square_boxes", "score": "square_score", "class_index": "class_index"},
            ),
            Step(
                "scene_postprocess",
                {
                    "boxes": "square_boxes",
                    "score": "square_score",
                    "class_index": "class_index",
                    "frame": "frame",
                    "error": "error",
                },
                {"boxes": "boxes", "label": "label", "score": "score", "count": "count"},
            ),
        ),
    )
    card = Card(
        architecture="picture -> ink in a square -> `digit_detector` -> boxes in pixels of the picture",
        data="see `digit_detector`",
        licence="see `digit_detector`",
        intended_use="a few handwritten digits on a plain ground, dark on light or light on dark, any size; "
        "boxes are in pixels of the picture as viewers show it (EXIF orientation obeyed)",
        limits="each digit must fill between a sixth and half of the picture's longer side; "
        "anything else that is inked, letters and lines too, may be taken for a digit",
    )
    example = MappingProxyType({"picture": Path("examples/scene/five_dark-on-light.png")})

    def sample_inputs(self, rng: np.random.Generator, size: int) -> Tensors:
        """See :meth:`ScenePreprocess.sample_inputs`."""
        return {"picture": _sample_pictures(rng, size)}

    def cases(self, path: Path | None, seed: int) -> list[Case]:
        """Pictures with a ``boxes.json`` beside them, or the held-out scenes as PNG."""
        if path is not None:
            return [
                Case(file.name, {"picture": picture_column([file.read_bytes()])}, wanted)
                for file, wanted in scene_data.labelled_scenes(path, _CLASSES)
            ]
        scenes = DigitDetector().load_data(None, seed).test
        return [
            Case(
                f"scene {number}",
                {"picture": picture_column([_picture_of(ink[0], 3, 3, is_dark=True)])},
                _times(true, 3),
            )
            for number, (ink, true) in enumerate(zip(scenes["image"], _wanted(scenes), strict=True))
        ]

    def judge(self, cases: Sequence[Case], answers: Sequence[Answer]) -> tuple[Evaluation, list[Verdict]]:
        """Mean average precision over the boxes that were given out; badness counts missed and wrong boxes."""
        wanted: list[Found] = [case.wanted for case in cases]
        got = [_NOTHING if isinstance(answer, str) else _found_in(answer) for answer in answers]
        verdicts = [
            Verdict(
                float((~right_boxes(true, found)).sum() + (~right_boxes(found, true)).sum()),
                " ".join(sorted(true.labels.tolist())),
                answer if isinstance(answer, str) else " ".join(sorted(found.labels.tolist())),
            )
            for true, found, answer in zip(wanted, got, answers, strict=True)
        ]
        pages = [scene_data.page_of(bytes(case.inputs["picture"][0, 0])) for case in cases[:18]]
        return detection(pages, wanted, got, self.name), verdicts


def detection(scenes: Sequence[Array], wanted: Sequence[Found], got: Sequence[Found], title: str) -> Evaluation:
    """Mean average precision at an overlap of a half, and of each class."""
    by_class = dict(zip(_CLASSES, average_precisions(wanted, got, _CLASSES), strict=True))
    value = float(np.nanmean(list(by_class.values())))
    return Evaluation(
        measure=_MEASURE,
        figures={_MEASURE: value},
        samples=len(wanted),
        picture=scenes_picture(scenes, wanted, got, f"{title}: {_MEASURE} {value:.1%} on {len(wanted)} scenes"),
        details={"average precision": {label: one for label, one in by_class.items() if np.isfinite(one)}},
    )


MODELS = (DigitDetector(), ScenePreprocess(), ScenePostprocess(), DigitScene())

_NOTHING = Found(np.zeros((0, 4)), np.zeros(0, dtype="<U1"), np.zeros(0))


def _found_in(answer: Tensors) -> Found:
    count = int(answer["count"].reshape(-1)[0])
    labels = np.array([bytes(label).decode() for label in answer["label"].reshape(-1)[:count]], dtype=np.str_)
    return Found(answer["boxes"].reshape(-1, 4)[:count], labels, answer["score"].reshape(-1)[:count])


def _wanted(scenes: Tensors) -> list[Found]:
    return [
        Found(boxes[labels >= 0], np.array(_CLASSES)[labels[labels >= 0]], np.ones(0))
        for boxes, labels in zip(scenes["boxes"], scenes["label"], strict=True)
    ]


def _times(true: Found, factor: int) -> Found:
    return Found(true.boxes * factor, true.labels, true.scores)


def _plain_scenes(digits: Tensors, seed: int, count: int = _TEST_SCENES) -> Tensors:
    """Of digits as they were written."""
    from maas_export.data.digit_writers import as_written

    rng = np.random.default_rng(seed)
    return scene_data.composed(digits, count, lambda ink: as_written(ink)[:, 0].numpy(), rng)


def _sample_scenes(rng: np.random.Generator, count: int) -> Tensors:
    return _plain_scenes(digit_data.built_in_digits(), int(rng.integers(2**31)), count)


def _sample_pictures(rng: np.random.Generator, count: int) -> Array:
    scenes = _sample_scenes(rng, count)["image"][:, 0]
    return with_a_bad_one(
        [_picture_of(ink, rng.uniform(0.7, 5), rng.uniform(0.7, 5), is_dark=bool(rng.random() < 0.5)) for ink in scenes]
    )


def _picture_of(ink: Array, wider: float, higher: float, *, is_dark: bool) -> bytes:
    """A scene as a PNG so many times its size, dark on light or light on dark."""
    grey = 235 - 210 * ink if is_dark else 20 + 210 * ink
    page = Image.fromarray(grey.round().astype(np.uint8))
    return png_bytes(page.resize((round(_SIZE * wider), round(_SIZE * higher)), Image.Resampling.BICUBIC))
