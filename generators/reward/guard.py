"""The guard of reward tuning: a held-out judge and recall, which the policy never gets to see.

A policy that exploits its reward network raises that network's reward and nothing else. The guard
has another classifier (other half of the real images, other width and seed) and measures recall and
precision in features of an extractor that has nothing to do with either.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from countermark.core.features import Extractor
from countermark.generators.measuring.classifier import Classifier
from countermark.generators.measuring.quality import neighbourhood


@dataclass(frozen=True)
class GuardReading:
    """Figures of one policy at one step.

    Attributes:
        reward: Mean reward without the KL term; ``confidence``, ``realism``, ``variety`` its terms.
        guard_confidence: Mean probability of the wanted class by the held-out judge.
        guard_accuracy: Share whose likeliest class by the held-out judge is the wanted one.
        recall, precision: Against real images of the wanted classes that the policy's judge never saw.
        kl: Nats per image.
    """

    step: int
    reward: float
    confidence: float
    realism: float
    variety: float
    guard_confidence: float
    guard_accuracy: float
    recall: float
    precision: float
    kl: float

    def as_dict(self) -> dict[str, float]:
        return {key: round(value, 5) for key, value in asdict(self).items()}


@dataclass(frozen=True)
class GuardLimits:
    """When tuning is stopped.

    Attributes:
        confidence_drop: The held-out judge may fall so far below its best while the reward rises.
        recall_loss: Share of the starting recall that may be lost.
        recall_slack: Recall may always fall by this much: that is within its noise.
    """

    confidence_drop: float = 0.02
    recall_loss: float = 0.2
    recall_slack: float = 0.03


class Guard:
    """Judges what the policy makes with what the policy does not know."""

    def __init__(
        self,
        judge: Classifier,
        real: np.ndarray,
        labels: np.ndarray,
        extractor: Extractor,
        limits: GuardLimits,
    ) -> None:
        self.judge, self.extractor, self.limits = judge, extractor, limits
        self._features = extractor(real)
        self._labels = labels

    def measure(self, images: np.ndarray, classes: np.ndarray) -> dict[str, float]:
        """Confidence, accuracy, recall and precision of uint8 [N, H, W, 3] pictures of ``classes``."""
        found = self.judge.probabilities(images)
        chosen = found[np.arange(len(images)), classes]
        reference = self._features[np.isin(self._labels, np.unique(classes))]
        near = neighbourhood(reference, self.extractor(images))
        return {
            "guard_confidence": float(chosen.mean()),
            "guard_accuracy": float((found.argmax(axis=1) == classes).mean()),
            "recall": near["recall"],
            "precision": near["precision"],
        }

    def verdict(self, first: GuardReading, best: GuardReading, now: GuardReading) -> str:
        """Why to stop, or ''."""
        floor = first.recall * (1 - self.limits.recall_loss) - self.limits.recall_slack
        if now.recall < floor:
            return (
                f"Recall fell from {first.recall:.2f} to {now.recall:.2f} (limit {floor:.2f}): "
                "the pictures became alike."
            )
        fallen = best.guard_confidence - now.guard_confidence
        if now.reward > best.reward and fallen > self.limits.confidence_drop:
            return (
                f"The reward rose to {now.reward:.3f} while the held-out judge fell by {fallen:.3f}: "
                "the policy exploits its reward network."
            )
        return ""
