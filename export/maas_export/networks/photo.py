"""The network of ``photo_cnn``."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class PhotoNet(nn.Module):
    """Two convolutions with pooling, then three linear layers.

    The form of LeNet-5 (LeCun et al., *Gradient-based learning applied to document recognition*, 1998), with three
    colours in, rectified units and maximum pooling: 32 becomes 28, 14, 10 and 5 pixels, so 16·5·5 = 400 values reach
    the first linear layer.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, image: Tensor) -> Tensor:
        """[batch, 3, 32, 32] -> logits [batch, classes]."""
        hidden = functional.max_pool2d(functional.relu(self.conv1(image)), 2)
        hidden = functional.max_pool2d(functional.relu(self.conv2(hidden)), 2)
        hidden = functional.relu(self.fc1(hidden.flatten(1)))
        logits: Tensor = self.fc3(functional.relu(self.fc2(hidden)))
        return logits
