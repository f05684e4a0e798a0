"""Training in the latent space: the pictures as latents for ``fitting.fit``, and the finished generator.

Both networks see standardised latents only, which are measured on the training pictures. The decoder is
used where people look (sample grids) and where figures are taken, never for a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.seeds import derive, torch_seeded
from countermark.generators.base import to_pixels
from countermark.generators.data.pictures import Pictures
from countermark.generators.families.anchor import AnchoredDrawing
from countermark.generators.families.base import Padding
from countermark.generators.families.latent import LatentGenerator
from countermark.generators.latents.autoencoder import decode
from countermark.generators.latents.cache import encode_set
from countermark.generators.latents.space import LatentSpace
from countermark.generators.recipes.schema import Recipe

_BATCH = 32


@dataclass(frozen=True)
class LatentPictures:
    """A ``fitting.RealSet`` of standardised latents.

    Attributes:
        latents: float16 [N, V, 32, h, w], see ``latents.cache.EncodedSet``.
        space: Measured on them.
        padding: Of the decoder.
    """

    name: str
    latents: Tensor
    labels: np.ndarray | None
    classes: tuple[str, ...]
    space: LatentSpace
    padding: Padding = "zeros"

    def __len__(self) -> int:
        return len(self.latents)

    def tensors(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float [B, 32, h, w] of the pictures ``index`` [B]; those ``mirrored`` by their own latents."""
        view = torch.zeros_like(index)
        if mirrored is not None and self.latents.shape[1] > 1:
            view = mirrored.long()
        return self.space.there(self.latents[index, view])

    @torch.no_grad()
    def painted(self, tensors: Tensor) -> np.ndarray:
        """uint8 RGB [B, 8 h, 8 w, 3] of standardised latents."""
        parts = [
            to_pixels(decode(self.space.back(part), self.padding)) for part in tensors.float().split(_BATCH)
        ]
        return np.concatenate(parts)


def latent_pictures(
    pictures: Pictures, folder: Path, *, mirror: bool, padding: Padding = "zeros", progress: bool = False
) -> LatentPictures:
    """``pictures`` as latents, kept in ``folder``; see ``latents.cache.encode_set`` for what it raises."""
    encoded = encode_set(pictures, folder, mirror=mirror, padding=padding, progress=progress)
    space = LatentSpace().measure(encoded.latents[:: max(len(encoded) // 2000, 1), 0])
    return LatentPictures(
        pictures.name, encoded.latents, pictures.labels, pictures.classes, space.eval(), padding
    )


def prepare(
    generator: LatentGenerator,
    critic: nn.Module,
    pictures: Pictures,
    folder: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    progress: bool = False,
) -> tuple[nn.Module, LatentPictures]:
    """What ``fitting.fit`` trains, and against what: networks and set of latents.

    Encodes ``pictures`` and gives generator and critic the space that is measured on them.
    """
    real = latent_pictures(
        pictures, folder, mirror=recipe.data.mirror, padding=generator.padding, progress=progress
    )
    for part in (generator.space, getattr(critic, "space", None)):
        if part is not None:
            part.load_state_dict(real.space.state_dict())
    if not generator.config.anchor:
        return generator.drawing, real
    with torch_seeded(derive(seed, "anchor")):
        return AnchoredDrawing(generator.drawing, generator.config), real


def take(generator: LatentGenerator, trained: nn.Module) -> LatentGenerator:
    """``generator`` with the weights of what ``fitting.fit`` trained."""
    drawing = trained.drawing if isinstance(trained, AnchoredDrawing) else trained
    generator.drawing.load_state_dict(drawing.state_dict())
    return generator.eval()
