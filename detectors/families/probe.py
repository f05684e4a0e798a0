"""The family ``clip-probe``: a frozen CLIP tower's intermediate blocks and a small head.

Every view (whole, middle, native) gives the pooled tokens of a few blocks; the head standardises
them and adds one logit per kind of view. Lead: intermediate blocks of CLIP with one logistic
regression generalise to generators and re-saves that residual CNNs fail on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.core.seeds import rng
from countermark.detectors.base import FitSettings, FrozenNetwork, Sample, require_both_classes
from countermark.detectors.fitting.heads import fit_linear_head
from countermark.detectors.fitting.histories import random_history
from countermark.detectors.scoring.heads import Head
from countermark.detectors.scoring.inference import best_dtype
from countermark.detectors.scoring.views import SIDE, ViewPlan, crop_aspect, distinct, resize_short, views_of
from countermark.detectors.towers.library import load_trunk
from countermark.detectors.towers.packing import PackedState, pack_state
from countermark.detectors.towers.vit import GRID, POOLS, WIDTH, ClipTrunk

KINDS = ("whole", "middle", "native")
#: Larger batches leave the cache of one core: a third more time a view.
BATCH = 16


class ProbeDetector(FrozenNetwork):
    """CLIP blocks and a linear head per kind of view.

    Args:
        trunk: The tower; its weights are frozen.
        config: ``depth``, ``blocks`` (from 1), ``pools`` (of class, mean, std), ``views`` (counts of
            whole, middle, native), ``trunk`` (name of a shipped tower, or ``random``), ``C`` (inverse
            strength of the head's regularisation).
    """

    family: ClassVar[str] = "clip-probe"

    def __init__(self, trunk: ClipTrunk, config: dict[str, Any]) -> None:
        self.config = check_config(config)
        self.trunk = trunk.eval().requires_grad_(False).to(best_dtype())
        self.plan = ViewPlan(**self.config["views"])
        self.blocks = list(self.config["blocks"])
        self.pools = [POOLS.index(p) for p in self.config["pools"]]
        self.head = Head.zero(len(self.view_kinds) * len(self.blocks) * len(self.pools) * WIDTH)

    @classmethod
    def create(cls, config: dict[str, Any], seed: int) -> Self:
        """The tower called ``trunk`` (shipped unless it is ``random``) and a head at zero."""
        config = check_config(config)
        return cls(make_trunk(config, seed), config)

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        config = dict(config)
        packed = config.pop("packed", None)
        if packed is None:
            trunk = make_trunk(check_config(config), 0)
        else:
            trunk = ClipTrunk(int(config["depth"]))
            own = {k.removeprefix("trunk."): v.numpy() for k, v in tensors.items() if k.startswith("trunk.")}
            state = PackedState(own, packed)
            trunk.vit.load_state_dict({k: torch.from_numpy(state[k]) for k in trunk.vit.state_dict()})
        network = cls(trunk, config)
        network.head = Head.restore(tensors, network.head.dimensions)
        return network

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The head; and the tower too, packed, unless it is a shipped one that the config names."""
        tensors = {name: torch.from_numpy(array) for name, array in self.head.state().items()}
        if self.config["trunk"] != "random":
            return tensors, dict(self.config)
        state = {k: v.float().numpy() for k, v in self.trunk.vit.state_dict().items()}
        packed, plan = pack_state(state, bits=8, group=64)
        tensors |= {f"trunk.{name}": torch.from_numpy(value) for name, value in packed.items()}
        return tensors, {**self.config, "packed": plan}

    def to(self, device: torch.device) -> Self:
        self.trunk.to(device)
        return self

    def features(self, images: Sequence[Pixels]) -> Tensor:
        """float32 [N, 3 kinds, blocks, pools, 768]; views of one kind are averaged."""
        views = views_of(images, self.plan)
        views, places = distinct(views, self.plan.count)
        parts = []
        for start in range(0, len(views), BATCH):
            batch = torch.from_numpy(np.stack(views[start : start + BATCH])).permute(0, 3, 1, 2)
            parts.append(self.trunk(batch, self.blocks, self.pools).cpu())
        per_view = torch.cat(parts)[torch.from_numpy(places)].reshape(
            len(images), self.plan.count, *parts[0].shape[1:]
        )
        split = torch.split(per_view, [self.plan.whole, self.plan.middle, self.plan.native], dim=1)
        zero = torch.zeros_like(per_view[:, 0])
        return torch.stack([part.mean(dim=1) if part.shape[1] else zero for part in split], dim=1)

    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        found = []
        step = max(1, BATCH // self.plan.count)
        for start in range(0, len(images), step):
            found.append(self.head_logits(self.features(images[start : start + step]).numpy()))
        return np.concatenate(found)

    def logit_map(self, image: Pixels) -> np.ndarray:
        """Patch logits of overlapping tiles at the middle scale, spread around the image's own logit.

        A patch's share is the head's slope at this image's features times the patch's token: exact for a
        linear head, the first order for one with squares.
        """
        features = self.head_input(self.features([image]).numpy())
        whole = float(self.head.logits(features)[0])
        slope = self.head.slopes(features)[0].reshape(len(self.view_kinds), *self.feature_shape)
        tiles, places, size = _tiles(
            resize_short(crop_aspect(image, 8), max(SIDE, min(448, *image.shape[:2])))
        )
        total, count = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for start in range(0, len(tiles), BATCH):
            batch = torch.from_numpy(np.stack(tiles[start : start + BATCH])).permute(0, 3, 1, 2)
            for local, (top, left) in zip(
                self._patch_logits(batch, slope), places[start : start + BATCH], strict=True
            ):
                total[top : top + GRID, left : left + GRID] += local
                count[top : top + GRID, left : left + GRID] += 1
        local = total / np.maximum(count, 1)
        return whole + (local - local.mean())

    def _patch_logits(self, batch: Tensor, slope: np.ndarray) -> np.ndarray:
        """[N, 14, 14]: terms for the mean of the patches, one a patch; ``slope`` by view, block, pool."""
        detail = [place for place, kind in enumerate(self.view_kinds) if kind > 0] or [0]
        result = torch.zeros(len(batch), GRID * GRID)
        if 1 in self.pools:
            place = self.pools.index(1)
            for index, tokens in enumerate(self.trunk.tokens(batch, self.blocks)):
                weight = torch.from_numpy(slope[detail, index, place].sum(axis=0))
                result += tokens[:, 1:].float().cpu() @ weight
        return result.reshape(-1, GRID, GRID).numpy()

    def fit(self, samples: Sequence[Sample], settings: FitSettings) -> dict[str, Any]:
        """Logistic regression on cached features of ``settings.views`` histories of every image."""
        require_both_classes(samples)
        features, labels, groups = [], [], []
        total = len(samples) * settings.views
        for sample in samples:
            image = sample.load()
            for view in range(settings.views):
                drawn = random_history(image, rng(settings.seed, "history", sample.key, view))
                with torch.inference_mode():
                    features.append(self.features([drawn])[0].half())
                labels.append(sample.label)
                groups.append(sample.group)
                settings.report(len(labels), total, float("nan"))
        self.fit_head(torch.stack(features), np.array(labels), groups)
        return {"images": len(samples), "histories_per_image": settings.views}

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return (len(self.blocks), len(self.pools), WIDTH)

    def view_features(self, views: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(views).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return self.trunk(batch, self.blocks, self.pools).float().cpu().numpy()

    def head_input(self, features: np.ndarray) -> np.ndarray:
        kinds = list(self.view_kinds)
        return features[:, kinds].reshape(len(features), -1).astype(np.float32)

    def set_head(self, head: Head) -> None:
        if head.dimensions != self.head.dimensions:
            raise ConfigError(f"A head on {head.dimensions} features is not one on {self.head.dimensions}.")
        self.head = head

    def head_logits(self, features: np.ndarray) -> np.ndarray:
        """Logits float64 [n] of features [n, 3, *feature_shape]."""
        return self.head.logits(self.head_input(features))

    def head_module(self) -> HeadModule:
        """The head as a module of PyTorch, with gradients."""
        return HeadModule(self.head)

    @property
    def view_kinds(self) -> tuple[int, ...]:
        return tuple(place for place, kind in enumerate(KINDS) if getattr(self.plan, kind))

    def fit_head(self, features: Tensor, labels: np.ndarray, groups: Sequence[str]) -> None:
        """Fits the head on features [N, 3, blocks, pools, 768]; see ``fit_linear_head``."""
        x = self.head_input(features.float().numpy())
        self.set_head(Head.plain(*fit_linear_head(x, labels, groups, C=float(self.config["C"]))))


class HeadModule(nn.Module):
    """A ``Head`` as a module, for gradients and for graphs: float32 [N, D] to logits [N]."""

    mean: Tensor
    scale: Tensor
    linear: Tensor
    bias: Tensor
    directions: Tensor
    strength: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.standardised = len(head.mean) > 0
        directions = head.directions.astype(np.float32) * head.steps[:, None]
        for name, value in (
            ("mean", head.mean),
            ("scale", head.scale),
            ("linear", head.linear),
            ("bias", head.bias),
            ("directions", directions),
            ("strength", head.strength),
        ):
            self.register_buffer(name, torch.from_numpy(np.array(value, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        if self.standardised:
            x = (x - self.mean) / self.scale
            x = x / x.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-6)
        found = x @ self.linear + self.bias
        if len(self.strength):
            found = found + (x @ self.directions.T).square() @ self.strength
        return found


def check_config(config: dict[str, Any]) -> dict[str, Any]:
    """Fills in defaults; ConfigError for what the family does not know."""
    known: dict[str, Any] = {
        "depth": 9,
        "blocks": [7, 8, 9],
        "pools": ["class", "mean"],
        "views": {"whole": 1, "middle": 1, "native": 1},
        "trunk": "clip-vit-b16",
        "C": 1e-2,
    }
    extra = sorted(set(config) - set(known))
    if extra:
        raise ConfigError(f"clip-probe has no option {extra[0]!r}.", hint=f"Known: {', '.join(known)}.")
    known |= config
    blocks = known["blocks"]
    if not blocks or not all(1 <= int(b) <= int(known["depth"]) for b in blocks):
        raise ConfigError(f"The blocks {blocks} are not among 1-{known['depth']}.")
    if set(known["pools"]) - set(POOLS) or set(known["views"]) - set(KINDS):
        raise ConfigError(f"Pools are of {POOLS}, views of {KINDS}.")
    if sum(known["views"].values()) < 1:
        raise ConfigError("A detector needs at least one view.")
    return known


def make_trunk(config: dict[str, Any], seed: int) -> ClipTrunk:
    """The tower that a config names, or one with random weights for ``random``."""
    depth = int(config["depth"])
    if config["trunk"] == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ClipTrunk(depth)
    return load_trunk(str(config["trunk"]), depth)


def _tiles(image: Pixels) -> tuple[list[Pixels], list[tuple[int, int]], tuple[int, int]]:
    """Half-overlapping tiles of 224 px, their places and the size of the map, in patches of 16 px."""
    patch = SIDE // GRID
    high, wide = image.shape[0] // patch, image.shape[1] // patch

    def starts(length: int) -> list[int]:
        return sorted({*range(0, length - GRID + 1, GRID // 2), length - GRID})

    places = [(top, left) for top in starts(high) for left in starts(wide)]
    tiles = [image[patch * t : patch * t + SIDE, patch * f : patch * f + SIDE] for t, f in places]
    return tiles, places, (high, wide)
