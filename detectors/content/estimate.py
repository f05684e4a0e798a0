"""The kind of a picture, estimated from the features that the detector has computed anyway.

Real paintings and renders reach high scores more often than photographs do. Evidence that names the kind
can say how many real pictures of that kind score as high; the kind decides nothing by itself.

>>> head = KindHead(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), ("photograph", "painting"))
>>> head.kinds(np.array([[9.0, 0.0]], np.float32))
[Kind(name='photograph', probability=0.9998766...)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from countermark.core.errors import WeightsError
from countermark.core.weights import load_arrays
from countermark.detectors.scoring.kinds import KINDS

WEIGHTS = Path(__file__).resolve().parent / "kinds.safetensors"


@dataclass(frozen=True)
class Kind:
    """An estimate: one of ``KINDS`` and its probability in [0, 1]."""

    name: str
    probability: float


@dataclass(frozen=True)
class KindHead:
    """Multinomial logistic regression.

    Attributes:
        weight: float32 [K, D].
        bias: float32 [K].
        names: The K kinds.
    """

    weight: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...]

    def kinds(self, features: np.ndarray) -> list[Kind]:
        """The likeliest kind of every row of float32 [N, D]."""
        logits = np.asarray(features, np.float32).reshape(len(features), -1) @ self.weight.T + self.bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True)).astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        return [Kind(self.names[int(row.argmax())], float(row.max())) for row in shares]

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays for a weights file, in half precision, and the config that goes with them."""
        arrays: dict[str, np.ndarray] = {
            "weight": self.weight.astype(np.float16),
            "bias": self.bias.astype(np.float32),
        }
        return arrays, {"kinds": list(self.names)}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> KindHead:
        """What ``state`` gave.

        Raises:
            WeightsError: arrays and kinds do not fit together.
        """
        try:
            names = tuple(str(name) for name in config["kinds"])
            weight, bias = arrays["weight"].astype(np.float32), arrays["bias"].astype(np.float32)
        except (KeyError, TypeError, AttributeError) as error:
            raise WeightsError(f"The head for kinds lacks {error}.") from error
        if (
            weight.ndim != 2
            or bias.shape != (len(names),)
            or len(weight) != len(names)
            or set(names) - set(KINDS)
        ):
            raise WeightsError("The head for kinds does not fit its names.")
        return cls(weight, bias, names)


@lru_cache(maxsize=1)
def shipped_head() -> KindHead:
    """The head in the package, for the whole view's features of the tower ``clip-vit-b16``."""
    arrays, card = load_arrays(WEIGHTS, family="kinds")
    return KindHead.restore(card.config, arrays)
