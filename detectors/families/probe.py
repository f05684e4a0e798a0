"""The family ``clip-probe``: a frozen CLIP tower's intermediate blocks and a small head.

Every view (whole, middle, native) gives the pooled tokens of a few blocks; the head standardises
them and adds one logit per kind of view. Lead: intermediate blocks of CLIP with one logistic
regression generalise to generators and re-saves that residual CNNs fail on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.core.seeds import rng
from countermark.detectors.base import FitSettings, FrozenNetwork, Sample, require_both_classes
from countermark.detectors.content.estimate import Kind, shipped_head
from countermark.detectors.scoring.heads import Head
from countermark.detectors.scoring.views import SIDE, ViewPlan, crop_aspect, distinct, resize_short, views_of
from countermark.detectors.towers.library import Tower, load_tower, random_tower
from countermark.detectors.towers.packing import PackedState, pack_state
from countermark.detectors.towers.shape import GRID, POOLS, WIDTH

if TYPE_CHECKING:
    import torch

    from countermark.detectors.families.modules import HeadModule
    from countermark.detectors.towers.vit import ClipTrunk

KINDS = ("whole", "middle", "native")
#: The head for kinds of picture reads the whole view's features of this tower, of this shape.
KINDS_FITTED_ON = ("clip-vit-b16", (3, 2, WIDTH), 1)
#: Views that are held and computed at a time.
BATCH = 16


class ProbeDetector(FrozenNetwork):
    """CLIP blocks and a small head on all kinds of view.

    On the CPU the tower runs without PyTorch (``towers.engine``, which says what is rounded); on another
    device it is the module ``trunk``, in float32.

    Args:
        tower: Its weights are frozen.
        config: ``depth``, ``blocks`` (from 1), ``pools`` (of class, mean, std), ``views`` (counts of
            whole, middle, native), ``trunk`` (name of a shipped tower, or ``random``), ``C`` (inverse
            strength of the head's regularisation).
    """

    family: ClassVar[str] = "clip-probe"

    def __init__(self, tower: Tower, config: dict[str, Any]) -> None:
        self.config = check_config(config)
        self.tower = tower
        self.device: torch.device | None = None
        self.plan = ViewPlan(**self.config["views"])
        self.blocks = list(self.config["blocks"])
        self.pools = [POOLS.index(p) for p in self.config["pools"]]
        self.head = Head.zero(len(self.view_kinds) * len(self.blocks) * len(self.pools) * WIDTH)
        #: Made at once: a damaged tower is noticed when the detector is loaded.
        self.engine = tower.engine

    @classmethod
    def create(cls, config: dict[str, Any], seed: int) -> Self:
        """The tower called ``trunk`` (shipped unless it is ``random``) and a head at zero."""
        config = check_config(config)
        return cls(_tower(config, seed), config)

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        config = dict(config)
        packed = config.pop("packed", None)
        if packed is None:
            tower = _tower(check_config(config), 0)
        else:
            own = {k.removeprefix("trunk."): v for k, v in tensors.items() if k.startswith("trunk.")}
            tower = Tower(PackedState(own, packed), {}, int(config["depth"]))
        network = cls(tower, config)
        network.head = Head.restore(tensors, network.head.dimensions)
        return network

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The head; and the tower too, packed, unless it is a shipped one that the config names."""
        tensors = dict(self.head.state())
        if self.config["trunk"] != "random":
            return tensors, dict(self.config)
        packed, plan = pack_state(self.tower.state, bits=8, group=64)
        tensors |= {f"trunk.{name}": value for name, value in packed.items()}
        return tensors, {**self.config, "packed": plan}

    @property
    def trunk(self) -> ClipTrunk:
        """The tower in PyTorch, frozen, float32: for gradients and exports."""
        return self.tower.trunk

    def to(self, device: torch.device) -> Self:
        self.device = None if device.type == "cpu" else device
        self.trunk.to(device)
        return self

    def view_features(self, views: np.ndarray) -> np.ndarray:
        """float32 [n, *feature_shape] of uint8 RGB views [n, 224, 224, 3]."""
        if self.device is None:
            return self.engine.pooled(views, self.blocks, self.pools)
        import torch

        batch = torch.from_numpy(views).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return self.trunk(batch, self.blocks, self.pools).float().cpu().numpy()

    def features(self, images: Sequence[Pixels]) -> np.ndarray:
        """float32 [N, 3 kinds, blocks, pools, 768]; views of one kind are averaged."""
        views, places = distinct(views_of(images, self.plan), self.plan.count)
        parts = [
            self.view_features(np.stack(views[start : start + BATCH]))
            for start in range(0, len(views), BATCH)
        ]
        per_view = np.concatenate(parts)[places].reshape(len(images), self.plan.count, *self.feature_shape)
        split = np.split(per_view, [self.plan.whole, self.plan.whole + self.plan.middle], axis=1)
        zero = np.zeros_like(per_view[:, 0])
        return np.stack([part.mean(axis=1) if part.shape[1] else zero for part in split], axis=1)

    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        found = []
        step = max(1, BATCH // self.plan.count)
        for start in range(0, len(images), step):
            found.append(self.head_logits(self.features(images[start : start + step])))
        return np.concatenate(found)

    def examined(self, images: Sequence[Pixels]) -> tuple[np.ndarray, list[Kind | None]]:
        if not self._tells_kinds:
            return super().examined(images)
        logits: list[np.ndarray] = []
        kinds: list[Kind | None] = []
        step = max(1, BATCH // self.plan.count)
        for start in range(0, len(images), step):
            features = self.features(images[start : start + step])
            logits.append(self.head_logits(features))
            kinds.extend(shipped_head().kinds(features[:, 0]))
        return np.concatenate(logits), kinds

    @property
    def _tells_kinds(self) -> bool:
        """Whether the head for kinds was fitted on features like this network's."""
        return (self.config["trunk"], self.feature_shape, self.plan.whole) == KINDS_FITTED_ON

    def logit_map(self, image: Pixels) -> np.ndarray:
        """Patch logits of overlapping tiles at the middle scale, spread around the image's own logit.

        A patch's share is the head's slope at this image's features times the patch's token: exact for a
        linear head, the first order for one with squares.
        """
        features = self.head_input(self.features([image]))
        whole = float(self.head.logits(features)[0])
        slope = self.head.slopes(features)[0].reshape(len(self.view_kinds), *self.feature_shape)
        tiles, places, size = _tiles(
            resize_short(crop_aspect(image, 8), max(SIDE, min(448, *image.shape[:2])))
        )
        total, count = np.zeros(size, np.float32), np.zeros(size, np.float32)
        for start in range(0, len(tiles), BATCH):
            batch = np.stack(tiles[start : start + BATCH])
            for local, (top, left) in zip(
                self._patch_logits(batch, slope), places[start : start + BATCH], strict=True
            ):
                total[top : top + GRID, left : left + GRID] += local
                count[top : top + GRID, left : left + GRID] += 1
        local = total / np.maximum(count, 1)
        return whole + (local - local.mean())

    def _patch_logits(self, views: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """[N, 14, 14]: terms for the mean of the patches, one a patch; ``slope`` by view, block, pool."""
        detail = [place for place, kind in enumerate(self.view_kinds) if kind > 0] or [0]
        result = np.zeros((len(views), GRID * GRID), np.float32)
        if 1 in self.pools:
            place = self.pools.index(1)
            for index, tokens in enumerate(self._tokens(views)):
                result += tokens[:, 1:] @ slope[detail, index, place].sum(axis=0)
        return result.reshape(-1, GRID, GRID)

    def _tokens(self, views: np.ndarray) -> list[np.ndarray]:
        if self.device is None:
            return self.engine.tokens(views, self.blocks)
        import torch

        with torch.inference_mode():
            found = self.trunk.tokens(torch.from_numpy(views).permute(0, 3, 1, 2), self.blocks)
            return [tokens.float().cpu().numpy() for tokens in found]

    def fit(self, samples: Sequence[Sample], settings: FitSettings) -> dict[str, Any]:
        """Logistic regression on cached features of ``settings.views`` histories of every image."""
        from countermark.detectors.fitting.histories import random_history

        require_both_classes(samples)
        features, labels, groups = [], [], []
        total = len(samples) * settings.views
        for sample in samples:
            image = sample.load()
            for view in range(settings.views):
                drawn = random_history(image, rng(settings.seed, "history", sample.key, view))
                features.append(self.features([drawn])[0].astype(np.float16))
                labels.append(sample.label)
                groups.append(sample.group)
                settings.report(len(labels), total, float("nan"))
        self.fit_head(np.stack(features), np.array(labels), groups)
        return {"images": len(samples), "histories_per_image": settings.views}

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return (len(self.blocks), len(self.pools), WIDTH)

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
        from countermark.detectors.families.modules import HeadModule

        return HeadModule(self.head)

    @property
    def view_kinds(self) -> tuple[int, ...]:
        return tuple(place for place, kind in enumerate(KINDS) if getattr(self.plan, kind))

    def fit_head(self, features: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> None:
        """Fits the head on features [N, 3, blocks, pools, 768]; see ``fit_linear_head``."""
        from countermark.detectors.fitting.heads import fit_linear_head

        x = self.head_input(features)
        self.set_head(Head.plain(*fit_linear_head(x, labels, groups, C=float(self.config["C"]))))


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


def _tower(config: dict[str, Any], seed: int) -> Tower:
    """The tower that a config names, or one with random weights for ``random``."""
    depth = int(config["depth"])
    if config["trunk"] == "random":
        return random_tower(depth, seed)
    return load_tower(str(config["trunk"]), depth)


def _tiles(image: Pixels) -> tuple[list[Pixels], list[tuple[int, int]], tuple[int, int]]:
    """Half-overlapping tiles of 224 px, their places and the size of the map, in patches of 16 px."""
    patch = SIDE // GRID
    high, wide = image.shape[0] // patch, image.shape[1] // patch

    def starts(length: int) -> list[int]:
        return sorted({*range(0, length - GRID + 1, GRID // 2), length - GRID})

    places = [(top, left) for top in starts(high) for left in starts(wide)]
    tiles = [image[patch * t : patch * t + SIDE, patch * f : patch * f + SIDE] for t, f in places]
    return tiles, places, (high, wide)
