"""Training in the latent space: the pictures as latents and layouts for ``fitting.fit``, in two stages.

Both networks of the second stage see standardised latents only, which are measured on the training
pictures. The decoder is used where people look (sample grids) and where figures are taken, never for a
gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from countermark.core.seeds import derive, torch_seeded
from countermark.generators.base import to_pixels, to_tensor
from countermark.generators.data.pictures import Pictures
from countermark.generators.families.base import Padding
from countermark.generators.families.detail import Detail
from countermark.generators.families.flow import LayoutFlow
from countermark.generators.families.guided import GuidedDetail, Reading
from countermark.generators.families.latent import LatentGenerator
from countermark.generators.families.layout import LayoutCritic
from countermark.generators.gan.fitting import Fitted, fit
from countermark.generators.gan.matching import OPTIMISER, fit_flow
from countermark.generators.latents.autoencoder import decode
from countermark.generators.latents.cache import encode_set
from countermark.generators.latents.space import LatentSpace
from countermark.generators.recipes.schema import OptimiserConfig, Recipe
from countermark.generators.training.checkpoints import FILE, refuse_used_folder

#: Folders of the latents and of the two stages in that of the run.
LATENTS, DETAIL, LAYOUTS = "latents", "detail", "layouts"
#: What GANs of layouts are trained with unless a recipe says otherwise.
GAN_OPTIMISER = OptimiserConfig(generator_rate=4e-4, critic_rate=4e-4, batch=64, decay_after=0.7)
_BATCH = 32
#: Pictures on which the space and the reading of colours are measured, at most about.
_MEASURED, _READ = 2000, 300


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


@dataclass(frozen=True)
class Layouts:
    """A ``fitting.RealSet`` of layouts.

    Attributes:
        cells: float32 [N, 3, s, s] in [-1, 1].
        size: Side of the pictures that they are shown as.
    """

    name: str
    cells: Tensor
    labels: np.ndarray | None
    classes: tuple[str, ...]
    size: int

    def __len__(self) -> int:
        return len(self.cells)

    def tensors(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float [B, 3, s, s] of the pictures ``index`` [B], those ``mirrored`` left-right."""
        cells = self.cells[index]
        if mirrored is None:
            return cells
        return torch.where(mirrored[:, None, None, None], cells.flip(3), cells)

    def painted(self, tensors: Tensor) -> np.ndarray:
        """uint8 RGB [B, size, size, 3] of layouts, enlarged."""
        large = F.interpolate(tensors.float(), size=self.size, mode="bicubic", align_corners=False)
        return to_pixels(large.clamp(-1, 1))


@dataclass(frozen=True)
class GuidingPictures(LatentPictures):
    """Latents with the layout of each picture: a ``fitting.GuidingSet``."""

    layouts: Layouts | None = None

    def guides(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        assert self.layouts is not None
        return self.layouts.tensors(index, mirrored)


def latent_pictures(
    pictures: Pictures, folder: Path, *, mirror: bool, padding: Padding = "zeros", progress: bool = False
) -> LatentPictures:
    """``pictures`` as latents, kept in ``folder``; see ``latents.cache.encode_set`` for what it raises."""
    encoded = encode_set(pictures, folder, mirror=mirror, padding=padding, progress=progress)
    space = LatentSpace().measure(encoded.latents[:: max(len(encoded) // _MEASURED, 1), 0])
    return LatentPictures(
        pictures.name, encoded.latents, pictures.labels, pictures.classes, space.eval(), padding
    )


def shrunk(images: np.ndarray, cells: int) -> Tensor:
    """Layouts float [N, 3, cells, cells] in [-1, 1] of pictures uint8 [N, S, S, 3]; S divides by cells."""
    parts = [
        F.adaptive_avg_pool2d(to_tensor(images[start : start + _BATCH]), cells)
        for start in range(0, len(images), _BATCH)
    ]
    return torch.cat(parts)


def fit_stages(
    generator: LatentGenerator,
    critic: nn.Module,
    pictures: Pictures,
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    **options: Any,
) -> tuple[Fitted, Fitted]:
    """Trains the networks of both stages, and gives ``generator`` what was measured on ``pictures``.

    Args:
        critic: Of the second stage.
        folder: ``latents``, ``detail`` and ``layouts`` are made in it.
        options: Of ``fitting.fit``.

    Returns:
        The second stage (a ``GuidedDetail``) and the first (a ``Layout`` or a ``LayoutFlow``), as ``fit``
        returns them.
    """
    config = generator.config
    refuse_used_folder(folder / DETAIL, resume=resume)
    refuse_used_folder(folder / LAYOUTS, resume=resume)
    shown = bool(options.get("progress", True))
    real = latent_pictures(
        pictures, folder / LATENTS, mirror=recipe.data.mirror, padding=generator.padding, progress=shown
    )
    layouts = Layouts(
        f"{pictures.name}, layouts",
        shrunk(pictures.images, config.layout),
        real.labels,
        real.classes,
        config.size,
    )
    for part in (generator.space, getattr(critic, "space", None)):
        if part is not None:
            part.load_state_dict(real.space.state_dict())
    step = max(len(pictures) // _READ, 1)
    reading = Reading().measure(
        real.space.there(real.latents[::step, 0]), shrunk(pictures.images[::step], config.side)
    )
    guiding = GuidingPictures(
        f"{pictures.name}, detail", real.latents, real.labels, real.classes, real.space, real.padding, layouts
    )
    with torch_seeded(derive(seed, "detail")):
        guided = GuidedDetail(Detail(config), reading)
    second = stage_recipe(recipe, first=False)
    detail = fit(
        guided, critic, guiding, second, folder / DETAIL,
        latent=config.texture, seed=seed, resume=resume, **options,
    )  # fmt: skip
    options |= {"seed": seed, "resume": resume and (folder / LAYOUTS / FILE).exists()}
    first = stage_recipe(recipe, first=True)
    if isinstance(generator.layout, LayoutFlow):
        flow = generator.layout.measure(layouts.cells)
        return detail, fit_flow(flow, layouts, first, folder / LAYOUTS, **options)
    with torch_seeded(derive(seed, "layouts")):
        judge = LayoutCritic(config)
    drawn = fit(generator.layout, judge, layouts, first, folder / LAYOUTS, latent=config.latent, **options)
    return detail, drawn


def stage_recipe(recipe: Recipe, *, first: bool) -> Recipe:
    """What ``fitting.fit`` is told for one of the stages."""
    stage, flow = recipe.layouts, recipe.network.get("layouts") == "flow"
    minutes = None if recipe.minutes is None else recipe.minutes * (stage.share if first else 1 - stage.share)
    if not first:
        return recipe.model_copy(update={"minutes": minutes})
    changed = {
        "minutes": minutes,
        "images": max(round(recipe.images * stage.per_picture), 1),
        "preview_images": max(round(recipe.preview_images * stage.per_picture), 1),
        "optimiser": stage.optimiser or (OPTIMISER if flow else GAN_OPTIMISER),
        "augment": stage.augment,
        "ema_images": stage.ema_images,
        "adversarial": 1.0,
        "warm_images": 0,
        "loss": "hinge",
    }
    return recipe.model_copy(update=changed)


def take(generator: LatentGenerator, detail: nn.Module, layout: nn.Module) -> LatentGenerator:
    """``generator`` with the weights of what ``fit_stages`` trained."""
    assert isinstance(detail, GuidedDetail)
    generator.detail.load_state_dict(detail.detail.state_dict())
    generator.layout.load_state_dict(layout.state_dict())
    return generator.eval()
