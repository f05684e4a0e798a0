"""What a picture is worth: class confidence, realism and variety, from a judge trained on real ones.

The judge sees one half of the real images. What it likes can be forged: the guard in
``generators.reward.guard`` is another judge, from the other half and with other features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances

from countermark.core.errors import TrainingError
from countermark.generators.measuring.classifier import Classifier

MOST_REFERENCES = 1000


@dataclass(frozen=True)
class RewardTerms:
    """Each float64 [N], in [0, 1], higher is better; ``total`` is their weighted sum.

    Attributes:
        confidence: Probability of the wanted class.
        realism: 1 while the nearest real image of the class is as near as real ones are to each
            other, falling as it gets farther.
        variety: Distance to the nearest other picture of the batch over that of real images.
    """

    confidence: np.ndarray
    realism: np.ndarray
    variety: np.ndarray
    total: np.ndarray


class Rewards:
    """Judges batches of pictures.

    Args:
        judge: Classifier whose probabilities and features count.
        real, labels: uint8 [N, H, W, C] and int64 [N]: real images that realism is measured from.
        weights: Of confidence, realism and variety.

    Raises:
        TrainingError: ``training.reward``: fewer than two real images of a class.
    """

    def __init__(
        self,
        judge: Classifier,
        real: np.ndarray,
        labels: np.ndarray,
        weights: tuple[float, float, float] = (1.0, 1.0, 0.5),
    ) -> None:
        self.judge, self.weights = judge, weights
        self._real: dict[int, np.ndarray] = {}
        self._typical: dict[int, float] = {}
        for number in np.unique(labels):
            points = judge.features(real[labels == number][:MOST_REFERENCES])
            if len(points) < 2:
                raise TrainingError(
                    f"Class {number} has one real image; realism cannot be measured from it.",
                    code="training.reward",
                    hint="Add images of that class.",
                )
            self._real[int(number)] = points
            self._typical[int(number)] = float(np.median(_nearest(pairwise_distances(points)))) + 1e-9

    def __call__(self, images: np.ndarray, classes: np.ndarray) -> RewardTerms:
        """Terms for uint8 [N, H, W, 3] pictures that should show ``classes`` [N]."""
        confidence = self.judge.probabilities(images)[np.arange(len(images)), classes].astype(np.float64)
        points = self.judge.features(images)
        realism, variety = np.zeros(len(images)), np.zeros(len(images))
        for number in np.unique(classes):
            mine = np.flatnonzero(classes == number)
            real, typical = self._real[int(number)], self._typical[int(number)]
            away = pairwise_distances(points[mine], real).min(axis=1) / typical
            realism[mine] = np.exp(-np.maximum(away - 1, 0))
            if len(mine) > 1:
                apart = _nearest(pairwise_distances(points[mine])) / self._expected(int(number), len(mine))
                variety[mine] = np.minimum(apart, 1)
        a, b, c = self.weights
        total = a * confidence + b * realism + c * variety
        return RewardTerms(confidence, realism, variety, total)

    def _expected(self, number: int, count: int) -> float:
        """Typical nearest distance among ``count`` real images: fewer lie farther apart."""
        real = self._real[number]
        some = real[: max(min(count, len(real)), 2)]
        return float(np.median(_nearest(pairwise_distances(some)))) + 1e-9


def _nearest(distances: np.ndarray) -> np.ndarray:
    distances = distances.copy()
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)
