"""A small classifier of images: judge of augmentation, and the reward and guard of tuning.

>>> import numpy as np
>>> dark, light = np.zeros((8, 16, 16, 1), np.uint8), np.full((8, 16, 16, 1), 255, np.uint8)
>>> judge = train_classifier(np.concatenate([dark, light]), np.repeat([0, 1], 8), 2, steps=30)
>>> judge.probabilities(light[:2]).argmax(axis=1).tolist()
[1, 1]
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.errors import ConfigError, TrainingError
from countermark.core.networks import CriticTrunk, initialise
from countermark.core.seeds import derive, torch_rng, torch_seeded
from countermark.generators.base import to_tensor
from countermark.generators.training.checkpoints import Progress
from countermark.generators.training.steps import Losses, StepLoop

FEATURES = 128


class SmallClassifier(nn.Module):
    """Strided convolutions to 4 x 4, one hidden layer, logits.

    Input float [N, channels, size, size] in [-1, 1]; ``features`` gives [N, 128], calling it logits
    [N, classes].
    """

    def __init__(self, size: int, channels: int, classes: int, width: int = 24, dropout: float = 0.3) -> None:
        super().__init__()
        levels = max(int(math.log2(size)) - 2, 1)
        self.trunk = CriticTrunk(
            channels=channels, width=width, levels=levels, max_width=width * 4, spectral=False
        )
        side = size // 2**levels
        self.hidden = nn.Linear(self.trunk.out_channels * side * side, FEATURES)
        self.out = nn.Sequential(nn.Dropout(dropout), nn.Linear(FEATURES, classes))
        initialise(self)

    def features(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.hidden(self.trunk(x).flatten(1)), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.features(x))


@dataclass(frozen=True)
class Classifier:
    """A trained classifier; ``channels`` tells whether it takes RGB or grey."""

    network: SmallClassifier
    channels: int

    @torch.no_grad()
    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, classes] of uint8 [N, size, size, 1 or 3]."""
        parts = [F.softmax(self.network(x), dim=1) for x in self._batches(images)]
        return torch.cat(parts).numpy()

    @torch.no_grad()
    def features(self, images: np.ndarray) -> np.ndarray:
        """float32 [N, 128]."""
        return torch.cat([self.network.features(x) for x in self._batches(images)]).numpy()

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Accuracy within each class, averaged over the classes that are there; in [0, 1]."""
        found = self.probabilities(images).argmax(axis=1)
        return float(np.mean([(found[labels == c] == c).mean() for c in np.unique(labels)]))

    def _batches(self, images: np.ndarray) -> list[Tensor]:
        if images.shape[3] != self.channels:
            images = images[..., :1] if self.channels == 1 else np.repeat(images, 3, axis=3)
        return list(to_tensor(images).split(256))


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    steps: int = 400,
    seed: int = 0,
    augment: bool = False,
    mirror: bool = False,
    width: int = 24,
    batch: int = 64,
    rate: float = 2e-3,
    balanced: bool = True,
) -> Classifier:
    """Trains on uint8 [N, size, size, 1 or 3] and int64 [N] with Adam and a cosine schedule.

    Args:
        augment: Classical augmentation: rotation by 12 degrees, 10 % of scale and shift, brightness.
        mirror: Also left-right mirroring, where it does not change the class.
        balanced: Draw classes equally often, however many images each has.

    Raises:
        TrainingError: fewer than two classes have images, or the loss is not a number.
    """
    labels = np.asarray(labels, np.int64)
    present = np.unique(labels)
    if len(present) < 2 or len(images) != len(labels):
        raise TrainingError(
            "A classifier needs images of at least two classes.",
            code="training.one-class",
            hint="Sort the images into one folder for each class.",
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ConfigError(f"A label lies outside 0 to {classes - 1}.")
    data = to_tensor(images)
    weights = 1 / np.bincount(labels, minlength=classes)[labels] if balanced else np.ones(len(labels))
    chances, truth = torch.from_numpy(weights), torch.from_numpy(labels)
    with torch_seeded(derive(seed, "classifier")):
        network = SmallClassifier(images.shape[1], images.shape[3], classes, width).train()
        optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        source = torch_rng(seed, "classifier", "batch")

        def step(at: Progress, share: float) -> Losses:
            index = torch.multinomial(chances, batch, replacement=True, generator=source)
            x = data[index]
            if augment:
                x = classical(x, source, mirror=mirror)
            loss = F.cross_entropy(network(x), truth[index])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            return {"classifier": loss.item()}

        StepLoop(None, batch, steps * batch, rate, advice="or give it more images").run(step)
    return Classifier(network.eval().requires_grad_(False), images.shape[3])


def classical(x: Tensor, source: torch.Generator, *, mirror: bool = False) -> Tensor:
    """Small rotations, shifts, scalings and changes of brightness; [N, C, H, W] as it comes."""
    count = len(x)

    def draw(reach: float) -> Tensor:
        return (torch.rand(count, generator=source) * 2 - 1) * reach

    angle, scale = draw(math.radians(12)), 1 + draw(0.1)
    sign = torch.where(torch.rand(count, generator=source) < 0.5, -1.0, 1.0) if mirror else torch.ones(count)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = (torch.stack([cos * sign, -sin, draw(0.2)], 1), torch.stack([sin * sign, cos, draw(0.2)], 1))
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x.shape), align_corners=False)
    moved = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return moved * (1 + draw(0.1))[:, None, None, None] + draw(0.1)[:, None, None, None]
