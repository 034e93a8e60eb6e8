"""The network of ``digit_detector``: one grid, one box a cell, non-maximum suppression as tensor operations.

After YOLO (Redmon et al., *You Only Look Once*, 2016): each cell answers for the digit whose middle lies in it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE = 96
"""Side of a scene, pixels."""
STRIDE = 8
"""Side of a cell, pixels."""
GRID = SIZE // STRIDE
BOXES = 16
"""How many boxes are given out for every scene."""

_CLASSES = 10
_USUAL_SIDE = 28.0
"""What a cell's box measures where the network says nothing of it, pixels."""
_OVERLAP = 0.5
"""A box whose intersection over union with a likelier one is greater than this is the same digit."""
_LEAST = -3.0
"""An objectness (a logit) below this, a chance of 5 %, gives no box: cells over empty ground are all alike, and which
of them came first would be a matter of rounding."""
_DROPPED = -1e9


class DetectorNet(nn.Module):
    """Six convolutions, 96 to 12 pixels; then five numbers on a box and ten on its class for each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(1, 16, stride=2),
            _convolution(16, 32, stride=2),
            _convolution(32, 64, stride=2),
            _convolution(64, 96),
            _convolution(96, 96),
            nn.Conv2d(96, 5 + _CLASSES, kernel_size=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Scenes [batch, 1, 96, 96] -> [batch, 144, 15]: cell by cell, row by row, objectness, box and classes."""
        found: Tensor = self.layers(image)
        return found.flatten(2).transpose(1, 2)


class Detector(nn.Module):
    """What is served: the network, its boxes in pixels, and the suppression of those that are there twice."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scenes [batch, 1, 96, 96] -> boxes [batch, 16, 4], scores [batch, 16] and classes [batch, 16] (int32).

        A box is its left, top, right and bottom edge in pixels; the likeliest to be a digit comes first. Where there
        are fewer boxes, the rest is 0.
        """
        found = self.network(image)
        objectness = found[..., 0]
        class_score, label = found[..., 5:].softmax(-1).max(-1)
        boxes, scores, labels = suppressed(
            boxes_of(found), objectness, torch.sigmoid(objectness) * class_score, label.to(torch.int32)
        )
        return boxes, scores, labels


def boxes_of(found: Tensor) -> Tensor:
    """The box of each cell in pixels, [batch, 144, 4] of [batch, 144, 15]: left, top, right, bottom.

    A middle may lie half a cell outside of its cell, and a side measures up to four times the usual one, as in YOLOv5.
    """
    row, column = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    corner = torch.stack([column.flatten(), row.flatten()], -1).to(found.dtype)
    middle = (corner + 2 * torch.sigmoid(found[..., 1:3]) - 0.5) * STRIDE
    half = (2 * torch.sigmoid(found[..., 3:5])) ** 2 * (_USUAL_SIDE / 2)
    return torch.cat([middle - half, middle + half], -1).clamp(0.0, float(SIZE))


def suppressed(boxes: Tensor, rank: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Greedy non-maximum suppression with a fixed number of results.

    Each round takes the box that ranks highest and drops all that overlap it, of whatever class: two digits cannot be
    in one place. It ranks by objectness as a logit, since probabilities near 1 are too close to tell apart in FP32.

    Args:
        boxes: [batch, cells, 4].
        rank: [batch, cells].
        scores: [batch, cells].
        labels: [batch, cells].

    Returns:
        Boxes [batch, 16, 4], scores [batch, 16], labels [batch, 16]; 0 for rounds in which none was left.
    """
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    taken: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(BOXES):
        best = rank.argmax(-1, keepdim=True)
        is_left = rank.gather(-1, best) > _LEAST
        box = boxes.gather(1, best[..., None].expand(-1, -1, 4))
        taken.append(
            (box * is_left[..., None], scores.gather(1, best) * is_left, labels.gather(1, best) * is_left.to(labels))
        )
        overlap = _intersection(boxes, box)
        union = area + area.gather(1, best) - overlap
        rank = torch.where(overlap > _OVERLAP * union, _DROPPED, rank)
        # Also where a box without extent overlaps nothing, not even itself.
        rank = rank.scatter(-1, best, _DROPPED)
    box, score, label = (torch.cat(parts, 1) for parts in zip(*taken, strict=True))
    return box, score, label


def detection_loss(found: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """The loss of what the network found in scenes whose digits are known.

    Cross-entropy of objectness in every cell and of the class in cells with a digit, and 1 - GIoU of its box
    (Rezatofighi et al., *Generalized Intersection over Union*, 2019), all by the number of digits.

    Args:
        found: [batch, 144, 15].
        boxes: [batch, digits, 4], pixels.
        labels: [batch, digits]; -1 where a scene has fewer digits.
    """
    scene, place = torch.nonzero(labels >= 0, as_tuple=True)
    true_box, true_label = boxes[scene, place], labels[scene, place]
    middle = ((true_box[:, :2] + true_box[:, 2:]) / (2 * STRIDE)).long().clamp(0, GRID - 1)
    cell = middle[:, 1] * GRID + middle[:, 0]
    wanted = torch.zeros_like(found[..., 0])
    wanted[scene, cell] = 1.0
    objectness = functional.binary_cross_entropy_with_logits(found[..., 0], wanted, reduction="sum")
    shape = (1 - _generalised_overlap(boxes_of(found)[scene, cell], true_box)).sum()
    kind = functional.cross_entropy(found[scene, cell, 5:], true_label, reduction="sum")
    return (objectness + 2 * shape + kind) / max(len(cell), 1)


def _convolution(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def _intersection(one: Tensor, other: Tensor) -> Tensor:
    """The area that boxes have in common, by the last axis."""
    width = torch.minimum(one[..., 2], other[..., 2]) - torch.maximum(one[..., 0], other[..., 0])
    height = torch.minimum(one[..., 3], other[..., 3]) - torch.maximum(one[..., 1], other[..., 1])
    return width.clamp(min=0.0) * height.clamp(min=0.0)


def _generalised_overlap(one: Tensor, other: Tensor) -> Tensor:
    """Intersection over union, less the share of the box round both that neither fills; -1 to 1."""
    overlap = _intersection(one, other)
    union = _area(one) + _area(other) - overlap
    around = torch.cat([torch.minimum(one[..., :2], other[..., :2]), torch.maximum(one[..., 2:], other[..., 2:])], -1)
    hull = _area(around)
    return overlap / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
