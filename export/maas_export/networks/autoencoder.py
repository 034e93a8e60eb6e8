"""The network of ``digit_autoencoder``."""

from __future__ import annotations

from torch import Tensor, nn

LATENT = 12
"""How many numbers a digit is squeezed into: enough for the ways of writing ten digits, too few for other shapes."""


class AutoencoderNet(nn.Module):
    """Ink through a bottleneck and back.

    Convolutions halve 28 to 14 and 7 pixels, two linear layers make 12 numbers of 64·7·7 and the reverse, and
    transposed convolutions double 7 to 14 and 28.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 128),
            nn.ReLU(),
            nn.Linear(128, LATENT),
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 128),
            nn.ReLU(),
            nn.Linear(128, 32 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, kernel_size=4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 1, kernel_size=4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Ink [batch, 1, 28, 28] -> what of it could be told again, of the same shape, and the score [batch, 1].

        The score is the root of the squared difference's mean over the picture: 0 where all could be told again.
        """
        told: Tensor = self.decoder(self.encoder(image))
        score = (told - image).square().mean(dim=(1, 2, 3)).sqrt()
        return told, score[:, None]
