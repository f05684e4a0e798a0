"""What every detector is: a network of some family, a calibrator and a table of thresholds.

A *family* is code (how a network is built, trained and asked); a *detector* is a family's network
with weights, the calibrator that turns its logits into probabilities and the scores of real images
from which thresholds are read. All of it is in the weights' card or its safetensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from countermark.core.errors import TrainingError
from countermark.core.images import Pixels
from countermark.core.registry import Registry
from countermark.core.results import Interval
from countermark.core.weights import WeightsCard
from countermark.detectors.content.estimate import Kind
from countermark.detectors.scoring.calibration import Calibrator
from countermark.detectors.scoring.heads import Head
from countermark.detectors.scoring.thresholds import Thresholds, ThresholdTable
from countermark.detectors.scoring.views import check_pixels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sample:
    """One training image: ``load()`` gives its pixels, uint8 RGB; ``group`` its source or generator."""

    load: Callable[[], Pixels]
    label: int
    group: str
    key: str


@dataclass(frozen=True)
class FitSettings:
    """How long and how to train; a family ignores what does not apply to it.

    Attributes:
        seed: Everything random is derived from it.
        views: Post-processed variants drawn from each image (families that cache features).
        steps: Optimiser steps (families trained by gradient descent).
        batch: Images a step.
        learning_rate: Peak of the schedule.
        threads: Torch threads, or None to leave them.
        report: Called with (step, steps, loss or NaN).
    """

    seed: int = 0
    views: int = 4
    steps: int = 600
    batch: int = 32
    learning_rate: float = 1e-3
    report: Callable[[int, int, float], None] = field(default=lambda step, steps, loss: None)


class DetectorNetwork(ABC):
    """A family's network. Logits are raw scores: larger means more like synthetic."""

    family: ClassVar[str]

    @classmethod
    @abstractmethod
    def create(cls, config: dict[str, Any], seed: int) -> Self:
        """An untrained network; ``config`` holds constructor arguments only."""

    @classmethod
    @abstractmethod
    def restore(cls, config: dict[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """A network from what ``state`` returned, as arrays."""

    @abstractmethod
    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays and the config that ``restore`` needs (JSON types)."""

    @abstractmethod
    def fit(self, samples: Sequence[Sample], settings: FitSettings) -> dict[str, Any]:
        """Trains on labelled samples; returns figures about the training for the card."""

    @abstractmethod
    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        """Raw scores, float64 [N], of uint8 RGB images of any sizes."""

    @abstractmethod
    def logit_map(self, image: Pixels) -> np.ndarray:
        """Raw local scores, float32 [h, w], of any resolution, covering the whole image."""

    def examined(self, images: Sequence[Pixels]) -> tuple[np.ndarray, list[Kind | None]]:
        """Logits, and the kind of every picture where the network's features tell it, in one pass."""
        return self.logits(images), [None] * len(images)

    def to(self, device: torch.device) -> Self:
        """Moves the network; returns itself."""
        return self


class FrozenNetwork(DetectorNetwork):
    """A network of frozen features and a linear head, which a recipe can fit on stored features."""

    @property
    @abstractmethod
    def feature_shape(self) -> tuple[int, ...]:
        """Of one view's features."""

    @property
    @abstractmethod
    def view_kinds(self) -> tuple[int, ...]:
        """Places in whole, middle, native of the kinds of view that the head looks at."""

    @abstractmethod
    def view_features(self, views: np.ndarray) -> np.ndarray:
        """float32 [n, *feature_shape] of uint8 RGB views [n, 224, 224, 3]."""

    @abstractmethod
    def head_input(self, features: np.ndarray) -> np.ndarray:
        """float32 [n, D], what the head is linear in, of [n, 3 kinds of view, *feature_shape]."""

    @abstractmethod
    def set_head(self, head: Head) -> None:
        """Sets the head; ConfigError if it is one for other features."""


#: Registry of families by name.
DETECTORS: Registry[type[DetectorNetwork]] = Registry("detector family")


class Detector:
    """A detector as users hold it; see ``countermark.detectors.load_detector``.

    Attributes:
        name: As in ``list_detectors()``.
        card: What it was trained on, its figures and its limits.
    """

    def __init__(
        self,
        network: DetectorNetwork,
        card: WeightsCard,
        calibrator: Calibrator,
        table: ThresholdTable,
    ) -> None:
        self.network = network
        self.card = card
        self.name = card.name
        self.calibrator = calibrator
        self.table = table

    def score(self, images: Sequence[Pixels]) -> np.ndarray:
        """Calibrated P(synthetic) of each image, float64 [N] in [0, 1].

        Args:
            images: uint8 RGB arrays H x W x 3 of any sizes.

        Raises:
            ImageError: ``image.not-rgb``.
        """
        return self.calibrator(self.logits(images))

    def examine(self, images: Sequence[Pixels]) -> tuple[np.ndarray, list[Kind | None]]:
        """What ``score`` gives, and the kind of every picture (None where it cannot be told), in one pass."""
        images = [check_pixels(image) for image in images]
        if not images:
            return np.zeros(0), []
        logits, kinds = self.network.examined(images)
        return self.calibrator(np.asarray(logits, np.float64)), kinds

    def share_of_real(self, score: float, kind: str) -> Interval | None:
        """How many real pictures of a kind score as high as ``score``; None where too few are known."""
        return self.table.share_of_kind(score, kind)

    def logits(self, images: Sequence[Pixels]) -> np.ndarray:
        """Raw scores before calibration, float64 [N]."""
        images = [check_pixels(image) for image in images]
        if not images:
            return np.zeros(0)
        return np.asarray(self.network.logits(images), dtype=np.float64)

    def heatmap(self, image: Pixels) -> np.ndarray:
        """Where the evidence lies: float32 H x W in [0, 1], on the same scale as ``score``.

        It shows what the score rests on; it is not a mask of what was generated.
        """
        import cv2

        height, width = check_pixels(image).shape[:2]
        local = self.calibrator(self.network.logit_map(image)).astype(np.float32)
        return np.clip(cv2.resize(local, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)

    def thresholds(self, max_fpr: float = 0.01) -> Thresholds:
        """Thresholds at which at most ``max_fpr`` of real images are flagged; see ThresholdTable."""
        return self.table.thresholds(max_fpr)


def require_both_classes(samples: Sequence[Sample]) -> None:
    """Raises TrainingError unless real and synthetic samples are both there."""
    labels = {sample.label for sample in samples}
    if labels != {0, 1}:
        raise TrainingError(
            "A detector needs real and synthetic images to learn from; one of them is missing.",
            code="training.one-class",
            hint="Check the labels of the corpus.",
        )
