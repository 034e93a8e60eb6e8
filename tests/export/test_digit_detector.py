"""The detector: suppression inside the graph, scenes whose boxes are right, the same answers in ONNX as in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from maas_export.data import digits, scenes
from maas_export.models.scene import DigitDetector
from maas_export.networks.detector import (
    BOXES,
    GRID,
    SIZE,
    STRIDE,
    Detector,
    DetectorNet,
    boxes_of,
    detection_loss,
    suppressed,
)
from maas_export.onnx_export import export_onnx


def one_scene(*found: tuple[tuple[float, float, float, float], float, int]) -> tuple[torch.Tensor, ...]:
    box, rank, label = zip(*found, strict=True)
    logits = torch.tensor([rank])
    return torch.tensor([box]), logits, torch.sigmoid(logits), torch.tensor([label])


def test_the_likelier_of_two_boxes_in_one_place_is_kept_whatever_their_classes() -> None:
    boxes, scores, labels = suppressed(
        *one_scene(((0, 0, 20, 20), 1.0, 3), ((1, 0, 21, 20), 2.0, 8), ((40, 40, 60, 60), 0.5, 4))
    )
    assert labels[0, :2].tolist() == [8, 4]
    assert boxes[0, :2].tolist() == [[1, 0, 21, 20], [40, 40, 60, 60]]
    assert boxes.shape == (1, BOXES, 4)
    assert not boxes[0, 2:].any()
    assert not scores[0, 2:].any()
    assert not labels[0, 2:].any()


def test_boxes_that_overlap_by_less_than_half_are_both_kept() -> None:
    _, scores, labels = suppressed(*one_scene(((0, 0, 20, 20), 1.0, 3), ((10, 0, 30, 20), 2.0, 8)))
    assert labels[0, :2].tolist() == [8, 3]
    assert (scores[0] > 0).sum() == 2


def test_what_is_hardly_an_object_gives_no_box() -> None:
    _, scores, _ = suppressed(*one_scene(((0, 0, 20, 20), -4.0, 3), ((40, 0, 50, 20), -9.0, 8)))
    assert not scores.any()


def test_a_box_without_extent_is_given_once() -> None:
    _, scores, _ = suppressed(*one_scene(((5, 5, 5, 5), 1.0, 3), ((40, 0, 50, 20), 0.5, 8)))
    assert (scores[0] > 0).sum() == 2


def test_a_cell_that_says_nothing_has_a_box_of_the_usual_size_about_its_middle() -> None:
    boxes = boxes_of(torch.zeros(1, GRID * GRID, 15))[0].reshape(GRID, GRID, 4)
    assert boxes[6, 4].tolist() == [4.5 * STRIDE - 14, 6.5 * STRIDE - 14, 4.5 * STRIDE + 14, 6.5 * STRIDE + 14]


def test_the_loss_is_least_where_cell_box_and_class_are_right() -> None:
    boxes, labels = torch.tensor([[[36.0, 20, 60, 52]]]), torch.tensor([[7]])
    cell = (36 // STRIDE) * GRID + 48 // STRIDE
    right = torch.zeros(1, GRID * GRID, 15)
    right[..., 0] = -9.0
    right[0, cell, 0] = 9.0
    right[0, cell, 5 + 7] = 9.0
    other_class, other_cell = right.clone(), right.clone()
    other_class[0, cell, 5 + 7], other_class[0, cell, 5 + 1] = 0.0, 9.0
    other_cell[0, cell, 0], other_cell[0, cell + 1, 0] = -9.0, 9.0
    least = detection_loss(right, boxes, labels)
    assert least < detection_loss(other_class, boxes, labels)
    assert least < detection_loss(other_cell, boxes, labels)
    assert torch.isfinite(detection_loss(right, boxes, torch.tensor([[-1]])))


def clear_cases(module: Detector, count: int) -> tuple[Any, list[Any]]:
    """Pictures, and their boxes, scores and classes, that do not depend on the last digits of what the network says.

    Of two cells that say the same, as those over empty ground do, the processor's kernels decide which comes first.
    """
    images = torch.from_numpy(np.random.default_rng(4).random((4 * count, 1, SIZE, SIZE), dtype=np.float32))
    torch.manual_seed(1)

    def shaken(network: Any, inputs: Any, found: torch.Tensor) -> torch.Tensor:
        return found + 1e-4 * torch.randn_like(found)

    with torch.inference_mode():
        wanted = module(images)
        is_clear = torch.ones(len(images), dtype=torch.bool)
        with module.network.register_forward_hook(shaken):
            for _ in range(10):
                for one, other in zip(module(images), wanted, strict=True):
                    is_clear &= ((one - other).abs() < 0.1).flatten(1).all(1)
    assert is_clear.sum() >= count
    return images[is_clear][:count].numpy(), [output[is_clear][:count].numpy() for output in wanted]


def test_a_scene_answers_the_same_alone_and_in_a_batch_in_onnx_as_in_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DetectorNet()
    head = network.layers[-1]
    assert isinstance(head, torch.nn.Conv2d)
    assert head.bias is not None
    with torch.no_grad():
        head.weight *= 100.0  # without training it says nearly the same of all cells
        head.bias[0] += 2.0  # so that there is something to suppress
    model = DigitDetector()
    module = model.exported(network).eval()
    assert isinstance(module, Detector)
    export_onnx(model, module, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    image, in_torch = clear_cases(module, 5)
    together = session.run(None, {"image": image})
    assert together[1].all(axis=1).any(), "no scene has as many boxes as there may be"
    for row in range(5):
        alone = session.run(None, {"image": image[row : row + 1]})
        for one, batch, wanted in zip(alone, together, in_torch, strict=True):
            np.testing.assert_allclose(one[0], batch[row], atol=1e-3)
            np.testing.assert_allclose(batch[row], wanted[row], atol=1e-3)


@pytest.fixture(scope="module")
def composed() -> Any:
    test = digits.built_in(0).test
    return scenes.composed(test, 60, lambda ink: np.kron(ink, np.ones((1, 6, 6), np.float32)), np.random.default_rng(1))


def test_boxes_hold_the_ink_of_their_digits(composed: Any) -> None:
    seen = set()
    for image, boxes, labels in zip(composed["image"][:, 0], composed["boxes"], composed["label"], strict=True):
        outside = image.copy()
        for left, top, right, bottom in boxes[labels >= 0].astype(int):
            assert image[top:bottom, left:right].max() > 0.5
            outside[top:bottom, left:right] = 0
            seen.add(bottom - top)
        assert not outside.any()
        assert (labels[: (labels >= 0).sum()] >= 0).all(), "unused places come last"
    assert min(seen) < 20
    assert max(seen) > 40
    assert len(set((composed["label"] >= 0).sum(axis=1).tolist())) >= 5


def test_scenes_have_digits_that_overlap_but_none_that_is_hidden(composed: Any) -> None:
    shares = []
    for boxes, labels in zip(composed["boxes"], composed["label"], strict=True):
        true = boxes[labels >= 0]
        for one in range(len(true)):
            shares += [scenes.overlap_share(tuple(true[one]), tuple(other)) for other in true[:one]]
    assert max(shares) <= 0.3 + 1e-6
    assert sum(share > 0.05 for share in shares) > 5


def test_held_out_scenes_are_the_same_every_time_and_of_held_out_digits_only() -> None:
    model = DigitDetector()
    one, again = model.load_data(None, 0), model.load_data(None, 0)
    assert one.digest == again.digest
    assert set(one.train) == {"ink", "label"}
    assert len(one.test["image"]) == 400
    assert set(one.test["label"].ravel().tolist()) == {-1, *range(10)}


def test_a_digit_that_its_writer_leaves_without_ink_is_left_out() -> None:
    digits_ = {"ink": np.ones((2, 8, 8), np.float32), "label": np.array([3, 7])}

    def faint(ink: Any) -> Any:
        drawn = np.repeat(np.repeat(ink, 6, 1), 6, 2)
        drawn[0] *= 0.1
        return drawn

    found = scenes.composed(digits_, 20, faint, np.random.default_rng(0))
    assert set(np.unique(found["label"])) == {-1, 7}
