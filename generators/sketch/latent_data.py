"""What ``sketch-latent`` is trained on: photographs, and a new doodle of each whenever it is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from countermark.core.seeds import rng
from countermark.generators.data.pictures import Pictures
from countermark.generators.gan.latent import LatentPictures
from countermark.generators.sketch.edges import doodle
from countermark.generators.sketch.hed import hed_is_installed, load_hed
from countermark.generators.sketch.latent import LatentSketchConfig, guides, squares

#: Where outlines come from; see ``sketch.training.SketchSettings``.
Edges = Literal["auto", "hed", "soft"]


class Doodles:
    """Doodles of photographs, disturbed at random, by a seed and by what else is in the batch.

    Attributes:
        edges: Where outlines come from, ``auto`` resolved.

    Raises:
        MissingExtraError: ``hed`` without its package.
    """

    def __init__(self, pictures: Pictures, edges: Edges, seed: int) -> None:
        self.pictures, self.seed = pictures, seed
        self.edges = ("hed" if hed_is_installed() else "soft") if edges == "auto" else edges
        self.outlines = load_hed().outlines(pictures.images) if self.edges == "hed" else None

    def of(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        """Conditions float [B, 5, S, S] of the photographs ``index`` [B], those ``mirrored`` left-right.

        The same batch gets the same doodles again, so that a resumed training repeats what it did.
        """
        draw = rng(self.seed, "doodles", *index.tolist())
        found = []
        for number, pick in enumerate(index.tolist()):
            image = self.pictures.images[pick]
            outline = None if self.outlines is None else self.outlines[pick]
            if mirrored is not None and bool(mirrored[number]):
                image = np.ascontiguousarray(image[:, ::-1])
                outline = None if outline is None else np.ascontiguousarray(outline[:, ::-1])
            found.append(doodle(image, draw, outline=outline))
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


@dataclass(frozen=True)
class DoodledPictures(LatentPictures):
    """Latents, with layout and doodle of each picture: a ``gan.fitting.GuidingSet``.

    Attributes:
        cells: Layouts float [N, 3, cells, cells] in [-1, 1].
    """

    cells: Tensor = field(kw_only=True)
    doodles: Doodles = field(kw_only=True)
    config: LatentSketchConfig = field(kw_only=True)

    def guides(self, index: Tensor, mirrored: Tensor | None) -> Tensor:
        """Float [B, 3 + 320, side, side], see ``sketch.latent.SketchDetail``."""
        cells = self.cells[index]
        if mirrored is not None:
            cells = torch.where(mirrored[:, None, None, None], cells.flip(3), cells)
        return guides(cells, squares(self.doodles.of(index, mirrored), self.config.detail.side))
