"""A torch module of one's own, and the three things that `maas export` wants to know about it."""

import torch
from torch import nn

from maas_export.own import OwnModel


class Net(nn.Module):
    """Tells whether a picture is bright, dark or neither."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 3)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """[batch, 3, height, width] -> logits [batch, 3]."""
        return {"logits": self.head(self.features(image).mean(dim=(2, 3)))}


torch.manual_seed(7)  # in place of a training; yours would load a state_dict here

SPEC = OwnModel(
    module=Net(),
    inputs={"image": torch.rand(2, 3, 32, 48)},
    axes={"image": {0: "batch", 2: "height", 3: "width"}},
)
