"""Families of convolutional detectors that give a logit per patch: ``critic`` and ``timm``.

``critic`` is the trunk of a GAN's own discriminator with a classifier head; ``timm`` is any
convolutional backbone of that library, cut after a stage. Both average the patch logits of a few
crops, so that the same network scores an image and draws its heatmap.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from countermark.core.errors import ConfigError, MissingExtraError, TrainingError
from countermark.core.images import Pixels
from countermark.core.networks import CriticTrunk, initialise
from countermark.core.seeds import rng
from countermark.detectors.base import DetectorNetwork, FitSettings, Sample, require_both_classes
from countermark.detectors.families.frontends import FrontEnd, make_front_end
from countermark.detectors.fitting.histories import random_history
from countermark.detectors.scoring.calibration import balanced_weights
from countermark.detectors.scoring.inference import best_dtype, for_scoring
from countermark.detectors.scoring.views import ViewPlan, crop_aspect, make_views, resize_short, views_of

BATCH = 32
DEFAULTS: dict[str, Any] = {
    "side": 224,
    "views": {"whole": 1, "middle": 1, "native": 1},
    "dropout": 0.2,
    "frontend": "rgb",
}


class PatchClassifier(nn.Module):
    """Front end, trunk, dropout, 1x1 convolution: float [N, 3, H, W] in [-1, 1] to logits [N, 1, h, w]."""

    def __init__(self, trunk: nn.Module, channels: int, dropout: float, front: FrontEnd) -> None:
        super().__init__()
        self.front = front
        self.trunk = trunk
        self.drop = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        found = self.trunk(self.front(x))
        return self.head(self.drop(found[-1] if isinstance(found, list) else found))


class PatchDetector(DetectorNetwork):
    """What both families share: crops in, patch logits out, training by gradient descent."""

    defaults: ClassVar[dict[str, Any]]

    def __init__(self, config: dict[str, Any]) -> None:
        extra = sorted(set(config) - set(self.defaults))
        if extra:
            raise ConfigError(
                f"{self.family} has no option {extra[0]!r}.", hint=f"Known: {', '.join(self.defaults)}."
            )
        self.config = {**self.defaults, **config}
        self.side = int(self.config["side"])
        if not 32 <= self.side <= 512:
            raise ConfigError(f"side is {self.side}, not in 32-512.")
        self.plan = ViewPlan(**self.config["views"])
        self.device = torch.device("cpu")
        self.model = self.build().eval()
        self._scoring: tuple[int, nn.Module] | None = None

    @abstractmethod
    def build(self) -> PatchClassifier:
        """The untrained network of ``self.config``; weights are drawn from torch's generator."""

    @classmethod
    def create(cls, config: dict[str, Any], seed: int) -> Self:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config)

    @classmethod
    def restore(cls, config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        with torch.random.fork_rng(devices=[]):
            network = cls({**config, **({"pretrained": ""} if "pretrained" in cls.defaults else {})})
        given = {name: torch.from_numpy(value) for name, value in tensors.items()}
        network.model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in given.items()}
        )
        return network

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in self.model.state_dict().items()}
        return {name: value.cpu().numpy() for name, value in tensors.items()}, self.config

    def to(self, device: torch.device) -> Self:
        self.device = device
        self.model.to(device)
        self._scoring = None
        return self

    def tensor(self, pixels: np.ndarray) -> Tensor:
        """uint8 [N, H, W, 3] to float [N, 3, H, W] in [-1, 1] on the network's device."""
        x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)  # channels stay last
        return x.to(self.device).float() / 127.5 - 1

    @torch.inference_mode()
    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        views = views_of(images, self.plan, self.side)
        found = []
        for start in range(0, len(views), BATCH):
            found.append(self._score(np.stack(views[start : start + BATCH])).mean(dim=(1, 2, 3)))
        return torch.cat(found).reshape(len(images), -1).mean(dim=1).double().cpu().numpy()

    def _score(self, pixels: np.ndarray) -> Tensor:
        """float32 patch logits of uint8 [N, H, W, 3]; bf16 inside if the CPU has it and pixels are RGB."""
        dtype = best_dtype(self.device) if self.config["frontend"] == "rgb" else torch.float32
        return self._fast(dtype)(self.tensor(pixels).to(dtype)).float()

    def _fast(self, dtype: torch.dtype) -> nn.Module:
        """The model with its batch norms folded; made anew when a weight has changed since."""
        stamp = sum(t._version for t in (*self.model.parameters(), *self.model.buffers()))
        if self._scoring is None or self._scoring[0] != stamp:
            self._scoring = stamp, for_scoring(self.model).to(dtype)
        return self._scoring[1]

    @torch.inference_mode()
    def logit_map(self, image: Pixels) -> np.ndarray:
        whole = float(self.logits([image])[0])
        bound = crop_aspect(image, 8)
        bound = resize_short(bound, max(self.side, min(2 * self.side, *bound.shape[:2])))
        local = self._score(bound[None])[0, 0].cpu().numpy()
        return (whole + local - local.mean()).astype(np.float32)

    def fit(self, samples: Sequence[Sample], settings: FitSettings) -> dict[str, Any]:
        """AdamW with warm-up and cosine decay, balanced classes and sources, identical histories."""
        require_both_classes(samples)
        labels = np.array([s.label for s in samples])
        weights = np.sqrt(balanced_weights(labels, [s.group for s in samples]))
        draw = rng(settings.seed, "batches")
        images = [_small(s.load(), 3 * self.side) for s in samples]
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=settings.learning_rate, weight_decay=0.02)
        self.model.train()
        running = math.log(2)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            for step in range(settings.steps):
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * _schedule(step, settings.steps)
                chosen = draw.choice(len(samples), settings.batch, p=weights / weights.sum())
                crops = [
                    self._training_view(images[i], rng(settings.seed, step, n)) for n, i in enumerate(chosen)
                ]
                target = torch.from_numpy(labels[chosen]).float().to(self.device)
                logits = self.model(self.tensor(np.stack(crops))).mean(dim=(1, 2, 3))
                loss = functional.binary_cross_entropy_with_logits(logits, target * 0.96 + 0.02)
                if not torch.isfinite(loss):
                    raise TrainingError("The loss is no longer a number.", hint="Lower the learning rate.")
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimiser.step()
                running += 0.05 * (loss.item() - running)
                settings.report(step + 1, settings.steps, running)
        self.model.eval()
        return {
            "images": len(samples),
            "steps": settings.steps,
            "batch": settings.batch,
            "loss": round(running, 4),
        }

    def _training_view(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """One view of one history: whole, middle or native, in the shares of the plan."""
        counts = np.array([self.plan.whole, self.plan.middle, self.plan.native], dtype=float)
        kind = int(generator.choice(3, p=counts / counts.sum()))
        drawn = random_history(image, generator)
        return make_views(drawn, ViewPlan(*(int(k == kind) for k in range(3))), self.side)[0]


class CriticDetector(PatchDetector):
    """The trunk of a GAN's critic (``countermark.core.networks.CriticTrunk``) as a classifier."""

    family: ClassVar[str] = "critic"
    defaults: ClassVar[dict[str, Any]] = {
        **DEFAULTS,
        "side": 64,
        "width": 32,
        "levels": 4,
        "max_width": 256,
    }

    def build(self) -> PatchClassifier:
        front = make_front_end(str(self.config["frontend"]))
        trunk = CriticTrunk(
            channels=front.channels,
            width=int(self.config["width"]),
            levels=int(self.config["levels"]),
            max_width=int(self.config["max_width"]),
            spectral=False,
        )
        initialise(trunk, 1.3)
        return PatchClassifier(trunk, trunk.out_channels, float(self.config["dropout"]), front)


class BackboneDetector(PatchDetector):
    """A convolutional backbone of timm, such as ``efficientnet_lite0``, cut after stage ``stage``.

    ``pretrained`` is empty (random weights) or the path of a ``.safetensors`` with timm's names.
    """

    family: ClassVar[str] = "timm"
    defaults: ClassVar[dict[str, Any]] = {
        **DEFAULTS,
        "backbone": "efficientnet_lite0",
        "stage": 3,
        "pretrained": "",
    }

    def build(self) -> PatchClassifier:
        try:
            import timm
        except ImportError as error:
            raise MissingExtraError("timm", "train") from error

        name, stage = str(self.config["backbone"]), int(self.config["stage"])
        front = make_front_end(str(self.config["frontend"]))
        try:
            trunk = timm.create_model(
                name, pretrained=False, features_only=True, out_indices=(stage,), in_chans=front.channels
            )
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            raise ConfigError(f"timm has no convolutional backbone {name!r} with a stage {stage}.") from error
        if self.config["pretrained"]:
            from safetensors.torch import load_file

            weights = load_file(str(self.config["pretrained"]))
            missing = set(trunk.state_dict()) - set(weights)
            if missing:
                raise ConfigError(f"The starting weights of {name} lack {sorted(missing)[0]}.")
            trunk.load_state_dict({k: weights[k] for k in trunk.state_dict()})
        channels: Any = trunk.feature_info
        return PatchClassifier(trunk, channels.channels()[-1], float(self.config["dropout"]), front)


def _schedule(step: int, steps: int) -> float:
    warm = max(1, min(100, steps // 10))
    return min(1.0, (step + 1) / warm) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _small(image: Pixels, short: int) -> Pixels:
    """Images far larger than a view are reduced once, so that a training set fits into memory."""
    return resize_short(image, short) if min(image.shape[:2]) > 2 * short else image
