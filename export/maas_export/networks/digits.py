"""The network that reads a handwritten digit."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


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
