"""The head that turns a tower's features into one logit: linear and a few squares of directions.

A head that is only linear in unbounded features lets a few large values (sharpening, strong grain)
decide. This one standardises the features, puts them on the unit sphere and adds squares:

    u = (x - mean) / scale, divided by its length
    logit = bias + linear · u + Σ_r strength_r (direction_r · u)²

It is what logistic regression with the kernel (1 + u·u')² gives, cut down to the directions that
matter. NumPy only, so that a scan needs nothing else.

>>> head = Head.plain(np.array([1.0, 0.0]), 0.5)
>>> head.logits(np.array([[2.0, 7.0]], np.float32)).tolist()
[2.5]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from countermark.core.errors import WeightsError

NAMES = ("mean", "scale", "linear", "bias", "directions", "steps", "strength")


@dataclass(frozen=True)
class Head:
    """A head on D features.

    Attributes:
        mean: float32 [D], or empty: features are taken as they are, neither standardised nor normalised.
        scale: float32 [D], likewise.
        linear: float32 [D].
        bias: float32 [].
        directions: int8 [R, D]; a direction is this times its step.
        steps: float32 [R].
        strength: float32 [R].
    """

    mean: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    bias: np.ndarray
    directions: np.ndarray
    steps: np.ndarray
    strength: np.ndarray

    @classmethod
    def zero(cls, dimensions: int) -> Head:
        """Gives 0 for everything."""
        return cls.plain(np.zeros(dimensions), 0.0)

    @classmethod
    def plain(cls, weight: np.ndarray, bias: float) -> Head:
        """weight · x + bias, without standardising."""
        none = np.zeros(0, np.float32)
        dimensions = len(weight)
        return cls(
            none,
            none,
            weight.astype(np.float32),
            np.array(bias, np.float32),
            np.zeros((0, dimensions), np.int8),
            none,
            none,
        )

    @property
    def dimensions(self) -> int:
        return len(self.linear)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float64 [N] of float32 [N, D]."""
        u, _ = self._on_sphere(features)
        found = u @ self.linear + self.bias
        if len(self.strength):
            found = found + ((u @ self._directions().T) ** 2) @ self.strength
        return np.asarray(found, np.float64)

    def slopes(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, D]: the gradient of every logit by its features."""
        u, length = self._on_sphere(features)
        slope = np.broadcast_to(self.linear, u.shape).astype(np.float32)
        if len(self.strength):
            directions = self._directions()
            slope = slope + (2 * (u @ directions.T) * self.strength) @ directions
        if not len(self.mean):
            return slope
        radial = (slope * u).sum(axis=1, keepdims=True)
        return np.asarray((slope - radial * u) / length / self.scale, np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """Arrays by name, for a weights file."""
        return {f"head.{name}": np.asarray(getattr(self, name)) for name in NAMES}

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], dimensions: int) -> Head:
        """What ``state`` gave.

        Raises:
            WeightsError: arrays are missing, or their shapes do not fit.
        """
        try:
            parts = {name: np.asarray(arrays[f"head.{name}"]) for name in NAMES}
        except KeyError as error:
            raise WeightsError(f"The head lacks {error}.") from error
        if parts["bias"].size == 1:  # arrays made contiguous gain an axis
            parts["bias"] = parts["bias"].reshape(())
        found = cls(**parts)
        rank, own = len(found.strength), (dimensions,)
        shapes = {
            "linear": own,
            "bias": (),
            "directions": (rank, dimensions),
            "steps": (rank,),
            "strength": (rank,),
        }
        fits = all(getattr(found, name).shape == shape for name, shape in shapes.items())
        if not fits or found.mean.shape != found.scale.shape or found.mean.shape not in (own, (0,)):
            raise WeightsError(f"The head does not fit {dimensions} features.")
        return found

    def _on_sphere(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = np.asarray(features, np.float32)
        if not len(self.mean):
            return x, np.ones((len(x), 1), np.float32)
        z = (x - self.mean) / self.scale
        length = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-6)
        return z / length, length

    def _directions(self) -> np.ndarray:
        return self.directions.astype(np.float32) * self.steps[:, None]
